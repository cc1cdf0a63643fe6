package sandbox

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/landlock-lsm/go-landlock/landlock"
	llsys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

// resolverFiles are what looking up a host reads.
var resolverFiles = []string{"/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/services", "/run/systemd/resolve"}

func enter(p Policy) (held, missing []string, err error) {
	_, _ = time.Now().Local().Zone() // reads the time zone's file, once and for all
	if p.Resolve {
		net.DefaultResolver.PreferGo = true // the one of the C library would load more libraries
		p.Read = append(slices.Clone(p.Read), resolverFiles...)
	}
	if err := limit(p.Memory); err != nil {
		return nil, nil, err
	}
	held = append(held, "no new privileges")
	abi, lacks, err := restrict(p)
	missing = append(missing, lacks...)
	if err != nil {
		return held, missing, err
	}
	if abi > 0 {
		held = append(held, fmt.Sprintf("landlock %d", abi))
	}
	// The filter comes last: what is above needs calls that it forbids.
	switch err := filter(p.Resolve); {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
		missing = append(missing, "its kernel has no seccomp filters")
	case err != nil:
		return held, missing, err
	default:
		held = append(held, "seccomp")
	}
	return held, missing, nil
}

// restrict is the part of Landlock.
func restrict(p Policy) (abi int, missing []string, err error) {
	abi, err = llsys.LandlockGetABIVersion()
	if err != nil || abi < 2 { // the first version knows no renaming from folder to folder, by which results are kept
		return 0, []string{"its kernel has no Landlock, or was started without it: files and ports are not held back"}, nil
	}
	if abi < 4 {
		missing = append(missing, fmt.Sprintf("its kernel's Landlock is of version %d, and ports are held back from version 4 on", abi))
	}
	var rules []landlock.Rule
	for _, path := range p.Read {
		info, err := os.Stat(path)
		switch {
		case err != nil:
			continue
		case info.IsDir():
			rules = append(rules, landlock.RODirs(path))
		default:
			rules = append(rules, landlock.ROFiles(path))
		}
	}
	for _, path := range p.Write {
		rules = append(rules, landlock.RWDirs(path).WithRefer())
	}
	for _, port := range p.Connect {
		rules = append(rules, landlock.ConnectTCP(port))
	}
	// The seventh version is the newest that this was tried on. Later ones also hold back UDP, which names are looked up by.
	if err := landlock.V7.BestEffort().Restrict(rules...); err != nil {
		return abi, missing, fmt.Errorf("by Landlock: %w", err)
	}
	return abi, missing, nil
}

// limit bounds what the process can take.
func limit(memory uint64) error {
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil {
		return fmt.Errorf("forbidding core dumps: %w", err)
	}
	if memory == 0 {
		return nil
	}
	now, err := writable()
	if err != nil {
		return err
	}
	most := unix.Rlimit{Cur: now + memory, Max: now + memory}
	if err := unix.Setrlimit(unix.RLIMIT_DATA, &most); err != nil {
		return fmt.Errorf("bounding its memory: %w", err)
	}
	return nil
}

// writable is how much private memory the process can write to now, which is what RLIMIT_DATA counts (getrlimit(2)).
func writable() (uint64, error) {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, fmt.Errorf("measuring its memory: %w", err)
	}
	var size, resident, shared, code, library, data uint64
	if _, err := fmt.Sscan(string(text), &size, &resident, &shared, &code, &library, &data); err != nil {
		return 0, fmt.Errorf("measuring its memory: %q: %w", text, err)
	}
	return data * uint64(os.Getpagesize()), nil
}

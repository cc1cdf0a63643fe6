package sandbox

import (
	"fmt"
	"os"
	"runtime"

	seccomp "github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// calls are the system calls that Go's runtime, the C library and ONNX Runtime make of a process that has started, and those by which files
// and connections are used. Landlock decides which files and which ports. Some exist on one architecture and not on another.
var calls = []string{
	// memory
	"brk", "madvise", "membarrier", "mmap", "mprotect", "mremap", "munmap",
	// threads, time and signals within the process
	"clock_getres", "clock_gettime", "clock_nanosleep", "exit", "exit_group", "futex", "getcpu", "getpid", "getppid", "gettid", "gettimeofday",
	"nanosleep", "restart_syscall", "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sched_getaffinity", "sched_setaffinity",
	"sched_yield", "set_robust_list", "sigaltstack", "time",
	// files
	"close", "copy_file_range", "dup", "dup3", "faccessat", "faccessat2", "fallocate", "fchmod", "fcntl", "fdatasync", "flock", "fstat", "fstatfs",
	"fsync", "ftruncate", "getcwd", "getdents64", "linkat", "lseek", "mkdirat", "newfstatat", "openat", "openat2", "pread64", "preadv", "pwrite64",
	"pwritev", "read", "readlinkat", "readv", "renameat", "renameat2", "sendfile", "splice", "statx", "statfs", "sync_file_range", "syncfs", "unlinkat",
	"utimensat", "write", "writev",
	// waiting
	"epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_pwait2", "epoll_wait", "eventfd2", "pipe2", "poll", "ppoll", "pselect6", "select",
	// connections
	"connect", "getpeername", "getsockname", "getsockopt", "recvfrom", "recvmsg", "recvmmsg", "sendmsg", "sendmmsg", "sendto", "setsockopt", "shutdown",
	// about the process
	"getegid", "geteuid", "getgid", "getrandom", "getrlimit", "getrusage", "getuid", "sysinfo", "uname",
}

// filter forbids all other system calls to all threads. Who makes one is told EPERM and lives on: libraries try things and do without.
func filter(resolve bool) error {
	machine, err := arch.GetInfo("")
	if err != nil {
		return fmt.Errorf("by seccomp on %s: %w", runtime.GOARCH, err)
	}
	allowed := seccomp.SyscallGroup{Action: seccomp.ActionAllow}
	for _, name := range calls {
		if _, ok := machine.SyscallNames[name]; ok {
			allowed.Names = append(allowed.Names, name)
		}
	}
	allowed.NamesWithCondtions = conditional(resolve)
	policy := seccomp.Policy{
		DefaultAction: seccomp.ActionErrno, // EPERM
		Syscalls: []seccomp.SyscallGroup{
			// The flags of clone3 lie in memory, where a filter cannot look. The C library makes do with clone where the kernel has no clone3.
			{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: []string{"clone3"}},
			allowed,
		},
	}
	if err := seccomp.LoadFilter(seccomp.Filter{NoNewPrivs: true, Flag: seccomp.FilterFlagTSync, Policy: policy}); err != nil {
		return fmt.Errorf("by seccomp: %w", err)
	}
	return nil
}

// conditional are calls that are allowed with certain arguments only.
func conditional(resolve bool) []seccomp.NameWithConditions {
	is := func(argument uint32, value uint64) seccomp.Condition {
		return seccomp.Condition{Argument: argument, Operation: seccomp.Equal, Value: value}
	}
	self := uint64(os.Getpid())
	all := []seccomp.NameWithConditions{
		{Name: "clone", Conditions: seccomp.ArgumentConditions{{Argument: 0, Operation: seccomp.BitsSet, Value: unix.CLONE_THREAD}}}, // threads, not processes
		{Name: "tgkill", Conditions: seccomp.ArgumentConditions{is(0, self)}},                                                        // Go interrupts its own threads so
		{Name: "prctl", Conditions: seccomp.ArgumentConditions{is(0, unix.PR_SET_NAME)}},
		{Name: "prctl", Conditions: seccomp.ArgumentConditions{is(0, unix.PR_SET_VMA)}},
		{Name: "prlimit64", Conditions: seccomp.ArgumentConditions{is(2, 0)}}, // to look, not to change
	}
	flags := []uint64{unix.SOCK_CLOEXEC, unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK}
	for _, family := range []uint64{unix.AF_INET, unix.AF_INET6} {
		for _, flag := range flags {
			// Multipath TCP (protocol 262) is a way around Landlock's ports.
			for _, protocol := range []uint64{0, unix.IPPROTO_TCP} {
				all = append(all, seccomp.NameWithConditions{Name: "socket", Conditions: seccomp.ArgumentConditions{
					is(0, family), is(1, unix.SOCK_STREAM|flag), is(2, protocol)}})
			}
			if resolve {
				all = append(all, seccomp.NameWithConditions{Name: "socket", Conditions: seccomp.ArgumentConditions{is(0, family), is(1, unix.SOCK_DGRAM|flag)}})
			}
		}
	}
	return all
}

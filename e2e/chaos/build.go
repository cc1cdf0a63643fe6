package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// build builds the programs under test: this repository's, and the NATS server that it embeds as a program of its own.
func build(ctx context.Context, bin string) error {
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return err
	}
	overlay, err := skewedClock(bin)
	if err != nil {
		return err
	}
	for name, pkg := range map[string]string{"ocelli": "github.com/ocelli/ocelli/cmd/ocelli", "nats-server": "github.com/nats-io/nats-server/v2"} {
		cmd := exec.CommandContext(ctx, "go", "build", "-overlay="+overlay, "-tags=nodynamic,planted", "-o", filepath.Join(bin, name), pkg)
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("building %s: %w\n%s", name, err, text)
		}
	}
	return copySQS(bin)
}

// sqsScript is the file with the program around the SQS server, of the package of test servers.
const sqsScript = "fauxqs.mjs"

func copySQS(bin string) error {
	dir, err := exec.Command("go", "list", "-f={{.Dir}}", "github.com/ocelli/ocelli/internal/awstest").Output()
	if err != nil {
		return fmt.Errorf("finding the program around the SQS server: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), sqsScript))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(bin, sqsScript), text, 0o644)
}

// clockEnv names the file whose first eight bytes are the seconds by which the clock of a process is off.
const clockEnv = "OCELLI_CHAOS_CLOCK"

// skewedClock writes a variant of package time whose wall clock is off by what the file says, and returns the overlay that puts it in place
// (go help build, -overlay). The monotonic clock is left alone, as it is by an operator who sets the time. Nothing else can do this to one
// program: Go asks the kernel directly, and time namespaces have no wall clock.
func skewedClock(dir string) (overlay string, err error) {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	folder := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	text, err := os.ReadFile(filepath.Join(folder, "time.go"))
	if err != nil {
		return "", err
	}
	const asks = "\tsec, nsec, mono := runtimeNow()\n"
	if strings.Count(string(text), asks) != 1 {
		return "", fmt.Errorf("the function Now of this Go's package time reads its clock in another way than %q: mend skewedClock", asks)
	}
	skewed := strings.Replace(string(text), asks, asks+"\tif chaosSkew != nil {\n\t\tsec += *chaosSkew\n\t}\n", 1)
	files := map[string]string{"time.go": skewed, "chaos.go": skewSource}
	replace := map[string]string{}
	for name, text := range files {
		path := filepath.Join(dir, "clock-"+name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return "", err
		}
		replace[filepath.Join(folder, name)] = path
	}
	config, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, config, 0o644)
}

const skewSource = `package time

import (
	"syscall"
	"unsafe"
)

var chaosSkew = mapChaosSkew()

func mapChaosSkew() *int64 {
	path, ok := syscall.Getenv("` + clockEnv + `")
	if !ok {
		return nil
	}
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil
	}
	page, err := syscall.Mmap(fd, 0, 8, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil
	}
	return (*int64)(unsafe.Pointer(&page[0]))
}
`

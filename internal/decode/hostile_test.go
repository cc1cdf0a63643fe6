package decode

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ocelli/ocelli"
)

// collection returns the files of a folder beside the repository, and skips the test where there is none.
func collection(t testing.TB, pattern string) []string {
	files, err := filepath.Glob(filepath.Join("../../../shared/data", pattern))
	if err != nil || len(files) == 0 {
		t.Skip("there is no ../shared/data/" + pattern + " beside the repository")
	}
	return files
}

func TestPhotographsAreRead(t *testing.T) {
	d := New(Limits{})
	for _, file := range collection(t, "photos/*.jpg") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Decode(context.Background(), data, 224); err != nil {
			t.Errorf("%s %v", filepath.Base(file), err)
		}
	}
}

// TestHostileFilesInAChild decodes hostile files in a process of its own, so that a crash is seen as such and its
// memory is that of decoding alone: the child is this test binary, told so by an environment variable.
func TestHostileFilesInAChild(t *testing.T) {
	const told = "OCELLI_DECODE_CHILD"
	if os.Getenv(told) != "" {
		decodeHostile(t)
		return
	}
	collection(t, "hostile/files/*")
	child := exec.Command(os.Args[0], "-test.run=^TestHostileFilesInAChild$", "-test.v")
	child.Env = append(os.Environ(), told+"=1")
	out, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("the child ended with %v:\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "decoded") {
			t.Log(strings.TrimSpace(line))
		}
	}
}

func decodeHostile(t *testing.T) {
	if _, err := avifSandbox(); err != nil { // once for a process, so that no file is blamed for it
		t.Fatal(err)
	}
	d := New(Limits{})
	read, refused := 0, 0
	for _, file := range collection(t, "hostile/files/*") {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		before := usage(t)
		p, err := d.Decode(context.Background(), data, 224)
		if took := cpu(usage(t)) - cpu(before); took > 2*time.Second {
			t.Errorf("%s took %v of CPU", filepath.Base(file), took)
		}
		switch e := ocelli.AsError(err); {
		case err == nil && len(p.RGB) == 3*p.Width*p.Height && p.Width > 0:
			read++
		case e != nil && e.Message != "" && !strings.Contains(e.Message, "\n"):
			refused++
		default:
			t.Errorf("%s gives %d × %d and %v", filepath.Base(file), p.Width, p.Height, err)
		}
	}
	peak := usage(t).Maxrss * 1024
	fmt.Printf("decoded %d, refused %d, with a peak of %d MiB\n", read, refused, peak>>20)
	if peak > 512<<20 {
		t.Errorf("the process grew to %d MiB", peak>>20)
	}
}

func usage(t *testing.T) (r unix.Rusage) {
	t.Helper()
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func cpu(r unix.Rusage) time.Duration { return time.Duration(r.Utime.Nano() + r.Stime.Nano()) }

package durable

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// childDir names, in a process that a test started from its own binary, the folder to work in.
const childDir = "DURABLE_TEST_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		writeForever(dir)
	}
	os.Exit(m.Run())
}

// writeForever is in the middle of a Put until the process is killed.
func writeForever(dir string) {
	tree, err := Open(dir)
	if err != nil {
		panic(err)
	}
	r, w := io.Pipe()
	go func() {
		io.WriteString(w, strings.Repeat("x", smallLimit+2)) // more than goes by way of the journal
		os.Stdout.WriteString("writing\n")
	}()
	_, err = tree.Put(context.Background(), "never", r)
	panic(err)
}

// What a living process writes stays, and what a dead one left is swept by who comes next.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), childDir+"="+dir)
	stdout, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(stdout).ReadString('\n'); line != "writing\n" {
		t.Fatalf("the child said %q, %v", line, err)
	}
	// Without a lock of its own, a file has no owner.
	if err := os.WriteFile(filepath.Join(dir, TempDir, "stray.1"), nil, 0o600); err != nil {
		t.Fatal(err)
	}

	wantTemp(t, openTree(t, dir, kernel{}), 1)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	tree := openTree(t, dir, kernel{})
	wantTemp(t, tree, 0)
	if _, err := tree.Put(t.Context(), "a", strings.NewReader("x")); err != nil {
		t.Errorf("after the sweep: %v", err)
	}
	if _, err := tree.Root().Stat("never"); err == nil {
		t.Error("a file that was never finished is there")
	}
}

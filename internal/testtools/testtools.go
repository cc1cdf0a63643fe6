// Package testtools helps tests to run the programs of others: clients and servers that scripts/testtools.sh installs.
package testtools

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// TB is what is used of a [testing.TB], so that other kinds of tests can run programs too.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Skip(args ...any)
}

// Dir returns the folder of the tools, and skips the test where there is none.
func Dir(t TB) string {
	t.Helper()
	dir := os.Getenv("OCELLI_TEST_TOOLS")
	if dir == "" {
		t.Skip("OCELLI_TEST_TOOLS is not set: run `make test`, or scripts/testtools.sh and name its folder .deps/test by an absolute path")
	}
	if !filepath.IsAbs(dir) {
		t.Fatalf("OCELLI_TEST_TOOLS=%s must be an absolute path", dir)
	}
	return dir
}

// Command returns a command of the tools, like bin/versitygw, and fails the test where it is missing.
func Command(t TB, path string, args ...string) *exec.Cmd {
	t.Helper()
	file := filepath.Join(Dir(t), path)
	if _, err := os.Stat(file); err != nil {
		t.Fatalf("%s is missing: run scripts/testtools.sh", file)
	}
	return exec.Command(file, args...)
}

// Address returns an address of the loopback interface, HOST:PORT, where nobody listened a moment ago: for servers that must be told where to.
func Address(t TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer l.Close()
	return l.Addr().String()
}

// JSON runs a command that prints one JSON object, and returns that.
func JSON(t TB, cmd *exec.Cmd) map[string]any {
	t.Helper()
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, &stderr)
	}
	var object map[string]any
	if err := json.Unmarshal(text, &object); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return object
}

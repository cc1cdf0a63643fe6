package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestListenAtAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first, err := listen("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket is %v, %v; want it for its user and group", info, err)
	}
	if _, err := listen("unix:" + path); err == nil || !strings.Contains(err.Error(), "is taken by another program") {
		t.Errorf("a second one at the same path: %v", err)
	}
	first.(*net.UnixListener).SetUnlinkOnClose(false) // as after a crash
	first.Close()
	again, err := listen("unix:" + path)
	if err != nil {
		t.Fatalf("after a crash: %v", err)
	}
	again.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket stays: %v", err)
	}
	if _, err := listen("unix:" + filepath.Join(path, "no", "such")); err == nil || !strings.Contains(err.Error(), "the folder must be there") {
		t.Errorf("in a folder that is not there: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listen("unix:" + path); err == nil {
		t.Error("a file was replaced by a socket")
	}
}

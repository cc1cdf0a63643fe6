package fileblob

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// childDir names, in a process that a test started from its own binary, the folder to work in.
const childDir = "FILEBLOB_TEST_CHILD_DIR"

const (
	racers    = 8
	raceKeys  = 40
	raceBytes = 20_000
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := race(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// race creates each key with bytes of its own, prints the keys that it won, and looks at all of them at once. It begins
// when its standard input ends.
func race(dir string) error {
	s, err := Open(dir)
	if err != nil {
		return err
	}
	body := bytes.Repeat([]byte(fmt.Sprintf("%08d", os.Getpid())), raceBytes/8)
	io.Copy(io.Discard, os.Stdin)
	for i := range raceKeys {
		key := fmt.Sprintf("output/job-%d/%d.json", i/10, i)
		won, err := s.Create(context.Background(), key, body)
		if err != nil {
			return err
		}
		if won {
			fmt.Println(key)
		}
		r, err := s.Open(context.Background(), key)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(r)
		r.Close()
		if err != nil {
			return err
		}
		if len(got) != raceBytes || bytes.Count(got, got[:8]) != raceBytes/8 || won && !bytes.Equal(got, body) {
			return fmt.Errorf("%s: won %t, and it holds %d bytes that begin with %q", key, won, len(got), got[:min(8, len(got))])
		}
	}
	return s.Close()
}

func TestCreateFromManyProcesses(t *testing.T) {
	dir := t.TempDir()
	var outputs [racers]bytes.Buffer
	var starts []io.Closer
	var children []*exec.Cmd
	for i := range racers {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childDir+"="+dir)
		child.Stdout, child.Stderr = &outputs[i], os.Stderr
		start, err := child.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		starts, children = append(starts, start), append(children, child)
	}
	for _, start := range starts {
		start.Close()
	}
	wins := map[string]int{}
	for i, child := range children {
		if err := child.Wait(); err != nil {
			t.Error(err)
		}
		for key := range strings.FieldsSeq(outputs[i].String()) {
			wins[key]++
		}
	}
	if len(wins) != raceKeys {
		t.Errorf("%d keys were won, want %d", len(wins), raceKeys)
	}
	for key, n := range wins {
		if n != 1 {
			t.Errorf("%s was won by %d processes", key, n)
		}
	}
}

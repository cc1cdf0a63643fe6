package sandbox

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// Confinement is for life, so each test confines a child: this very binary with childEnv set.
const childEnv = "OCELLI_TEST_CONFINE"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) == "" {
		os.Exit(m.Run())
	}
	fmt.Println(child(os.Args[1], os.Args[2], os.Args[3]))
}

// child confines itself to a folder and a port, and tells what it can do then.
func child(folder, port, outside string) string {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return err.Error()
	}
	// A thread that was there before is confined as well.
	orders, done := make(chan func()), make(chan struct{})
	started := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		close(started)
		(<-orders)()
		close(done)
	}()
	<-started
	holds, err := Enter(Policy{Write: []string{folder}, Connect: []uint16{uint16(n)}, Resolve: os.Getenv(childEnv) == "resolve", Memory: 256 << 20})
	if errors.Is(err, ErrUnsupported) {
		return "unsupported: " + err.Error()
	}
	if err != nil {
		return err.Error()
	}
	lines := []string{"holds " + holds}
	try := func(what string, err error) { lines = append(lines, fmt.Sprintf("%s: %t", what, err == nil)) }
	dial := func(network, address string) error {
		c, err := net.Dial(network, address)
		if err == nil {
			c.Close()
		}
		return err
	}
	all := func() {
		file := filepath.Join(folder, "a", "b")
		try("write inside", errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, nil, 0o644), os.Rename(file, filepath.Join(folder, "c"))))
		_, err := os.ReadFile(outside)
		try("read outside", err)
		try("write outside", os.WriteFile(outside, nil, 0o644))
		try("connect to the port", dial("tcp", "127.0.0.1:"+port))
		try("connect to another", dial("tcp", "127.0.0.1:9"))
		try("send by udp", dial("udp", "127.0.0.1:9"))
		_, err = os.StartProcess("/bin/true", []string{"true"}, &os.ProcAttr{})
		try("start", err)
	}
	all()
	orders <- all
	<-done
	return strings.Join(lines, "\n")
}

func TestAConfinedProcess(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for _, mode := range []string{"ports", "resolve"} {
		t.Run(mode, func(t *testing.T) {
			outside := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(outside, []byte("secret"), 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0], t.TempDir(), port, outside)
			cmd.Env = append(os.Environ(), childEnv+"="+mode)
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			told := strings.TrimSpace(string(out))
			if strings.HasPrefix(told, "unsupported") {
				t.Skip(told)
			}
			holds, rest, _ := strings.Cut(told, "\n")
			t.Log(holds)
			once := fmt.Sprintf("write inside: true\nread outside: false\nwrite outside: false\nconnect to the port: true\n"+
				"connect to another: false\nsend by udp: %t\nstart: false", mode == "resolve")
			if want := once + "\n" + once; rest != want {
				t.Errorf("got\n%s\nwant\n%s", rest, want)
			}
		})
	}
}

func TestModes(t *testing.T) {
	for mode, ok := range map[string]bool{Auto: true, Require: true, Off: true, "": false, "on": false} {
		if err := CheckMode(mode); (err == nil) != ok {
			t.Errorf("%q: %v", mode, err)
		}
	}
}

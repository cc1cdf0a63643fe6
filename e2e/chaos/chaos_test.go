package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ocelli/ocelli"
)

// TestAMinuteOfChaos is a short run of the command: everything that it can break is broken about once.
func TestAMinuteOfChaos(t *testing.T) {
	if testing.Short() {
		t.Skip("this takes more than a minute")
	}
	library, err := filepath.Abs("../../.deps/onnxruntime/libonnxruntime.so.1")
	if err != nil {
		t.Fatal(err)
	}
	if named := os.Getenv("OCELLI_ONNXRUNTIME"); named != "" {
		library = named
	}
	// The namespaces are entered by running the program again, which a test is not: it is built.
	program := filepath.Join(t.TempDir(), "chaos")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 9*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, "-duration=60s", "-seed=1", "-every=2s")
	cmd.Env = append(os.Environ(), "OCELLI_ONNXRUNTIME="+library)
	var said bytes.Buffer
	cmd.Stdout = io.MultiWriter(&said, t.Output())
	cmd.Stderr = t.Output()
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	last := regexp.MustCompile(`(?m)^([1-9]\d*) faults of ([1-9]\d*) kinds: 0 lost, 0 mixed up, \d+ executed twice\n\z`)
	if !last.Match(said.Bytes()) {
		t.Errorf("the last line is not of the form %s", last)
	}
}

// A checker that finds nothing is worth nothing: it is shown what it must find.
func TestTheCheckerFindsWhatIsWrong(t *testing.T) {
	good := func() (*order, string) {
		return &order{seq: 7, images: 2}, `{"id":"01JD0000000000000000000001","state":"done","total":2,"images":[` +
			`{"id":"01JD0000000000000000000001-0001","name":"picture-000007-00.png","state":"done","result":{"image":"01JD0000000000000000000001-0001","labels":[{"name":"x"}],"width":33,"height":40},"error":null},` +
			`{"id":"01JD0000000000000000000001-0002","name":"picture-000007-01.png","state":"done","result":{"image":"01JD0000000000000000000001-0002","labels":[{"name":"x"}],"width":34,"height":40},"error":null}]}`
	}
	for _, test := range []struct {
		name, old, new string
		lost, mixedUp  int
	}{
		{"nothing", "", "", 0, 0},
		{"another's picture", `"width":34`, `"width":33`, 0, 1},
		{"another job's picture", `"width":33,"height":40`, `"width":33,"height":41`, 0, 1},
		{"another's id", `{"image":"01JD0000000000000000000001-0002"`, `{"image":"01JD0000000000000000000001-0001"`, 0, 1},
		{"another place", `picture-000007-01.png`, `picture-000007-00.png`, 0, 1},
		{"no labels", `[{"name":"x"}]`, `[]`, 1, 0},
		{"a failure", `"error":null`, `"error":{"code":"gave_up","message":"gave up"}`, 1, 0},
		{"an image too few", `"total":2`, `"total":1`, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			o, text := good()
			v := o.judge(decode(t, strings.Replace(text, test.old, test.new, 1)))
			if v.lost != test.lost || v.mixedUp != test.mixedUp {
				t.Errorf("found %d lost and %d mixed up, want %d and %d: %v", v.lost, v.mixedUp, test.lost, test.mixedUp, v.why)
			}
		})
	}
}

func decode(t *testing.T, text string) *ocelli.Job {
	t.Helper()
	var job ocelli.Job
	if err := json.Unmarshal([]byte(text), &job); err != nil {
		t.Fatal(err)
	}
	return &job
}

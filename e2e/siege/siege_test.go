package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func build(t *testing.T) string {
	t.Helper()
	library, err := filepath.Abs("../../.deps/onnxruntime/libonnxruntime.so.1")
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("OCELLI_ONNXRUNTIME") == "" {
		t.Setenv("OCELLI_ONNXRUNTIME", library)
	}
	program := filepath.Join(t.TempDir(), "ocelli")
	if out, err := exec.Command("go", "build", "-o", program, "../../cmd/ocelli").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

func TestASmallCrowd(t *testing.T) {
	c := crowd{idle: 300, slow: 50, good: 4}
	var said strings.Builder
	if err := c.run(t.Context(), build(t), 3*time.Second, &said); err != nil {
		t.Errorf("%v\n%s", err, said.String())
	}
	t.Log(said.String())
}

// told is a client of 30 jobs that took that many times of what was told, held of them within the doubtful end.
func told(times float64, held int) *curious {
	return &curious{took: slices.Repeat([]float64{times}, 30), held: held}
}

func TestWhatASoakConcludes(t *testing.T) {
	samples := func(growth int64) []sample {
		var all []sample
		for i := range int64(100) {
			all = append(all, sample{at: float64(i), node: usage{resident: 100<<20 + i*growth, descriptors: 50}, backlog: 1500})
		}
		return all
	}
	good := flood{Requests: 100, Right: 500, Refused: 50}
	for _, test := range []struct {
		name    string
		samples []sample
		flood   flood
		modest  modest
		curious *curious
		broken  string
	}{
		{"all is well", samples(0), good, modest{took: []float64{1}}, told(1, 27), ""},
		{"memory grows", samples(1 << 20), good, modest{}, told(1, 27), "web node, MB grew"},
		{"nothing was refused", samples(0), flood{Requests: 100, Right: 1000}, modest{}, told(1, 27), "it should be none, none and many"},
		{"wrong answers", samples(0), flood{Right: 500, Refused: 50, Wrong: 1}, modest{}, told(1, 27), "1 wrong answers"},
		{"an answer without Retry-After", samples(0), good, modest{wrong: []string{"429 with Retry-After"}}, told(1, 27), "429 with Retry-After"},
		{"times that are wrong", samples(0), good, modest{}, told(2, 30), "off by a factor of 2.00"},
		{"times that do not hold", samples(0), good, modest{}, told(1, 20), "held for 67 %"},
		{"a job that is lost", samples(0), good, modest{}, &curious{wrong: []string{"it has not ended"}}, "it has not ended"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var said strings.Builder
			plot := filepath.Join(t.TempDir(), "plot.svg")
			err := conclude(&said, test.samples, test.flood, &test.modest, test.curious, plot)
			if (err != nil) != (test.broken != "") || !strings.Contains(said.String(), test.broken) {
				t.Errorf("concluded %v:\n%s", err, said.String())
			}
			if info, err := os.Stat(plot); err != nil || info.Size() < 1000 {
				t.Errorf("the picture: %v", err)
			}
		})
	}
}

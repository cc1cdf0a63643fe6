package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// runSim runs `ocelli sim` with the arguments and returns what it prints.
func runSim(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	cmd := newSimCommand()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	cmd.SilenceUsage, cmd.SilenceErrors = true, true
	err := cmd.ExecuteContext(context.Background())
	return out.String(), err
}

func TestSimTable(t *testing.T) {
	out, err := runSim(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"reference: 100 images; at most 19 workers of 20 images/s, 26 s to start, $0.0425 an hour; seed 1",
		"$/million", "breakeven", "backlog", "keda", "knative-1", "aws", "ray", "clairvoyant",
		"breakeven, when it wanted most workers: 100 images wait; 1 worker at 20 img/s finishes in 31 s; one more would",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

func TestSimJSON(t *testing.T) {
	out, err := runSim(t, "--json", "--shape", "burst", "--rate", "5/min", "--price", "1/d", "--workers", "4", "--length", "1h", "--policy", "breakeven,aws", "--seed", "7")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 2 {
		t.Fatalf("%d lines and not one for each policy:\n%s", len(lines), out)
	}
	var first map[string]any
	if err := json.Unmarshal([]byte(lines[0]), &first); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"policy", "p50_s", "p95_s", "p99_s", "slo", "over_provisioning", "worker_seconds", "usd_per_million", "actions", "lost"} {
		if _, ok := first[key]; !ok {
			t.Errorf("%q is missing in %s", key, lines[0])
		}
	}
	if first["policy"] != "breakeven" || first["p50_s"].(float64) < 12 {
		t.Errorf("five images a minute take 12 s each, and not %v s", first["p50_s"])
	}
	if again, _ := runSim(t, "--json", "--shape", "burst", "--rate", "5/min", "--price", "1/d", "--workers", "4", "--length", "1h", "--policy", "breakeven,aws", "--seed", "7"); again != out {
		t.Error("the same seed gave another run")
	}
}

func TestSimTraceAndPlot(t *testing.T) {
	dir := t.TempDir()
	trace, plot := filepath.Join(dir, "trace.csv"), filepath.Join(dir, "plot.html")
	rows := "app,func,end_timestamp,duration\n" + strings.Repeat("a,f,100.5,0.5\n", 40) + "b,g,700,1\n"
	if err := os.WriteFile(trace, []byte(rows), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := runSim(t, trace, "--plot", plot, "--price", "0", "--startup", "300ms", "--policy", "breakeven")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out, "41 images") {
		t.Errorf("the trace has 41 invocations:\n%s", out)
	}
	page, err := os.ReadFile(plot)
	if err != nil || !strings.Contains(string(page), "<svg") || !strings.Contains(string(page), "</table>") {
		t.Errorf("no page with a chart: %v", err)
	}
}

func TestSimRefuses(t *testing.T) {
	for _, c := range []struct {
		args, say string
		usage     bool
	}{
		{"--rate fast", "--rate=fast is not a number per time: write it like 20/s, 5/min or 0.0425/h", true},
		{"--rate 20/week", "--rate=20/week", true},
		{"--rate 0/s", "rate is 0", true},
		{"--price -1/h", "--price=-1/h", true},
		{"--mean x", "--mean=x", true},
		{"--workers 0", "number of workers is 0", true},
		{"--length -1h", "--length=-1h0m0s is not possible", true},
		{"--shape magic", `shape "magic" is not known: choose one of`, true},
		{"--policy breakeven,magic", `there is no policy "magic": choose all, or some of breakeven,`, true},
		{"a.csv b.csv", "name one trace, or a --shape", true},
		{"a.csv --shape burst", "name one trace, or a --shape", true},
		{"/no/such/trace.csv", "the trace cannot be read", false},
		{"--plot /no/such/folder/x.html", "the plot cannot be written", false},
	} {
		_, err := runSim(t, strings.Fields(c.args)...)
		var usage usageError
		if err == nil || !strings.Contains(err.Error(), c.say) || errors.As(err, &usage) != c.usage {
			t.Errorf("sim %s: %q is not said: %v", c.args, c.say, err)
		}
	}
}

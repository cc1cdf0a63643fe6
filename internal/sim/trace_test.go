package sim

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/scale"
)

func read(t *testing.T, text string) []Batch {
	t.Helper()
	load, err := ReadTrace("test", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var batches []Batch
	next := load.Open(1)
	for b, ok := next(); ok; b, ok = next() {
		batches = append(batches, b)
	}
	return batches
}

func TestAzureTrace(t *testing.T) {
	// The form of https://github.com/Azure/AzurePublicDataset/blob/master/AzureFunctionsInvocationTrace2021.md
	got := read(t, "app,func,end_timestamp,duration\n"+
		"a,f,10.05,0.02\n"+ // began at 10.03
		"a,g,10.09,0.07\n"+ // at 10.02
		"b,f,12.5,2.44\n"+ // at 10.06: ends last, begins with the others
		"b,f,1.95,0.30\n") // at 1.65: begins first
	if len(got) != 2 || got[0].Count != 1 || got[0].At != 0 || got[1].Count != 3 || math.Abs(got[1].At-8.4) > 1e-9 {
		t.Errorf("%+v", got)
	}
}

// A run of the real rule is written down as the service does, and read back as the load that it was.
func TestDecisionLog(t *testing.T) {
	var log strings.Builder
	var last scale.Memory
	total := int64(0)
	for second := range 60 {
		if second == 10 {
			total += 500
		}
		if second >= 30 {
			total += 7
		}
		d := scale.Decide(scale.Cloud(19), scale.Seen{Now: at(float64(second)), Arrived: total, Ready: 3, Exact: true, Last: last})
		last = d.Next
		line, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&log, "%s\n", line)
	}
	got := read(t, log.String())
	images := int64(0)
	for _, b := range got {
		images += b.Count
	}
	if images != 3+500+30*7 || got[1].At != 9 || got[1].Over != 1 || got[1].Count != 500 {
		t.Errorf("%d images: %+v", images, got[:3])
	}
}

func TestDecisionLogOfTwoControllers(t *testing.T) {
	line := func(second, arrived int) string {
		return fmt.Sprintf(`{"seen":{"now":%q,"arrived":%d}}`+"\n", at(float64(second)).Format(time.RFC3339), arrived)
	}
	got := read(t, line(0, 100)+line(1, 150)+line(9, 20)) // another took over and counts from 0
	if len(got) != 2 || got[0].Count != 50 || got[1].Count != 20 || got[1].At != 8 || got[1].Over != 1 {
		t.Errorf("%+v", got)
	}
}

func TestTraceRefuses(t *testing.T) {
	for name, c := range map[string]struct{ text, say string }{
		"nothing":          {"", "is empty"},
		"only a header":    {"app,func,end_timestamp,duration\n", "holds no arrivals"},
		"other columns":    {"HashOwner,HashApp,HashFunction\n", "line 1: 3 fields where app,func,end_timestamp,duration are expected"},
		"no number":        {"a,b,c,d\n", `line 1: the end_timestamp "c" is not a number`},
		"no duration":      {"a,b,1,\n", `the duration "" is not a number`},
		"a year too late":  {"a,b,1e300,1\n", "not within a year"},
		"not a number":     {"a,b,NaN,1\n", "not within a year"},
		"broken JSON":      {`{"seen":`, "line 1: no decision"},
		"JSON of others":   {`{"hello":1}`, "without the time"},
		"time running out": {`{"seen":{"now":"2026-01-02T00:00:00Z"}}` + "\n" + `{"seen":{"now":"2026-01-01T00:00:00Z"}}`, "line 2: the decision of 2026-01-01T00:00:00Z is out of order"},
		"an endless line":  {strings.Repeat("x", traceLine+1), "reading test"},
	} {
		if _, err := ReadTrace("test", strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.say) {
			t.Errorf("%s: %q is not said: %v", name, c.say, err)
		}
	}
}

func FuzzReadTrace(f *testing.F) {
	f.Add("app,func,end_timestamp,duration\na,b,10.5,0.5\nc,d,-3,1e3\n")
	f.Add(`{"seen":{"now":"2026-01-01T00:00:00Z","arrived":-5,"ready":9223372036854775807}}` + "\n" + `{"seen":{"now":"2026-01-01T00:00:09Z","arrived":9223372036854775807}}`)
	f.Fuzz(func(t *testing.T, text string) {
		load, err := ReadTrace("fuzz", strings.NewReader(text))
		if err != nil {
			return
		}
		before, images := -1.0, int64(0)
		next := load.Open(1)
		for b, ok := next(); ok; b, ok = next() {
			if b.At < before || b.Over < 0 || b.Count < 0 || math.IsNaN(b.At) {
				t.Fatalf("%+v after %v s", b, before)
			}
			before = b.At
			images += b.Count
		}
		if images != load.Images || images < 0 {
			t.Errorf("%d images are said to be %d", images, load.Images)
		}
	})
}

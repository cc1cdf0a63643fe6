package sim

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/ocelli/ocelli/internal/scale"
)

func TestPlot(t *testing.T) {
	c := cloud(5, 20)
	load := shape(t, "burst", c, 10, 3600)
	load.Name = "<script>alert(1)</script>"
	var results []Result
	for _, p := range []string{scale.Breakeven, "aws", "clairvoyant"} {
		results = append(results, run(t, c, load, p))
	}
	var page strings.Builder
	if err := Plot(&page, load, c, results); err != nil {
		t.Fatal(err)
	}
	html := page.String()
	if strings.Contains(html, "<script>") || strings.Contains(html, "NaN") || strings.Contains(html, "ZgotmplZ") {
		t.Error("the page holds what it must not")
	}
	charts := 0
	for _, part := range strings.SplitAfter(html, "</svg>") {
		_, svg, found := strings.Cut(part, "<svg")
		if !found {
			continue
		}
		charts++
		d := xml.NewDecoder(strings.NewReader("<svg" + svg))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("the chart is not well formed: %v", err)
			}
		}
	}
	if charts != 2 {
		t.Errorf("%d charts, and not one for each policy but the bound", charts)
	}
	for _, want := range []string{"workers wanted", "breakeven", "clairvoyant", "10 min", "<td>aws"} {
		if !strings.Contains(html, want) {
			t.Errorf("%q is missing", want)
		}
	}
}

func TestTicks(t *testing.T) {
	for _, length := range []float64{1, 31, 3600, 86400, 14 * 86400} {
		if n := len(scales{time: length}.timeTicks()); n > 10 || length > 1 && n < 2 {
			t.Errorf("%d ticks on %v s", n, length)
		}
	}
	for x, want := range map[float64]string{0.0562: "0.056", 7.654: "7.65", 179.2: "179", 9999: "9999", 12345: "12.3k", 2.5e6: "2.5M", 3e9: "3G"} {
		if got := short(x); got != want {
			t.Errorf("%v is written %s and not %s", x, got, want)
		}
	}
}

package sim

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
)

//go:embed plot.html
var plotHTML string

var plotPage = template.Must(template.New("plot").Parse(plotHTML))

// Measures of a chart, in SVG user units. Workers grow upwards from the middle line, the backlog hangs below it.
const (
	chartWidth = 1000.0
	chartUp    = 84.0
	chartDown  = 84.0
)

// Plot writes an HTML page, complete in itself, that shows workers and backlog over time for each result, all on
// the same scales, above a table of the figures.
func Plot(w io.Writer, load Load, c Config, results []Result) error {
	page := plotData{Name: load.Name, Config: c, Width: chartWidth, Height: chartUp + chartDown, Middle: chartUp}
	s := scales{workers: float64(c.Max)}
	for _, r := range results {
		if r.Policy == "clairvoyant" {
			continue
		}
		for _, p := range r.Series.Points {
			s.time, s.backlog = max(s.time, p.At), max(s.backlog, p.Backlog)
		}
	}
	s.time, s.backlog = max(s.time, 1), max(s.backlog, 1)
	page.Times, page.Backlogs = s.timeTicks(), s.backlogTicks()
	for _, r := range results {
		page.Images = r.Images
		row := plotRow{Result: r}
		if r.Policy != "clairvoyant" { // all its workers stand by all the time: nothing to see
			row.Workers = s.area(r.Series, func(p Point) float64 { return chartUp * (1 - p.Workers/s.workers) })
			row.Want = s.line(r.Series, func(p Point) float64 { return chartUp * (1 - p.Want/s.workers) })
			row.Backlog = s.area(r.Series, func(p Point) float64 { return s.depth(p.Backlog) })
		}
		page.Rows = append(page.Rows, row)
	}
	if err := plotPage.Execute(w, page); err != nil {
		return fmt.Errorf("plotting %s: %w", load.Name, err)
	}
	return nil
}

type plotData struct {
	Name                  string
	Images                int64
	Config                Config
	Width, Height, Middle float64
	Times, Backlogs       []tick
	Rows                  []plotRow
}

type plotRow struct {
	Result
	Workers, Want, Backlog string // SVG paths
}

// Texts of the table.
func (r plotRow) Times() [3]string { return [3]string{short(r.P50), short(r.P95), short(r.P99)} }
func (r plotRow) InTime() string   { return fmt.Sprintf("%.1f %%", 100*r.SLO) }
func (r plotRow) Spare() string    { return fmt.Sprintf("%.0f %%", 100*r.OverProvisioning) }
func (r plotRow) Hours() string    { return fmt.Sprintf("%.2f", r.WorkerSeconds/3600) }
func (r plotRow) Dollars() string  { return fmt.Sprintf("%.2f", r.USDPerMillion) }

// tick is a labelled place on an axis.
type tick struct {
	At    float64
	Label string
}

// scales turn values into places. Backlogs are drawn by their square root, so that those of a slow policy
// leave something to see of the others.
type scales struct{ time, workers, backlog float64 }

func (s scales) x(t float64) float64 { return chartWidth * t / s.time }

func (s scales) depth(backlog float64) float64 {
	return chartUp + chartDown*math.Sqrt(backlog/s.backlog)
}

// line is a path of steps.
func (s scales) line(series Series, y func(Point) float64) string {
	var b strings.Builder
	last := math.NaN()
	for i, p := range series.Points {
		switch v := y(p); {
		case i == 0:
			fmt.Fprintf(&b, "M%.1f %.1f", s.x(p.At), v)
			last = v
		case v != last:
			fmt.Fprintf(&b, "H%.1fV%.1f", s.x(p.At), v)
			last = v
		}
	}
	if n := len(series.Points); n > 0 {
		fmt.Fprintf(&b, "H%.1f", s.x(series.Points[n-1].At))
	}
	return b.String()
}

// area is the same, closed along the middle line.
func (s scales) area(series Series, y func(Point) float64) string {
	n := len(series.Points)
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%sV%.1fH%.1fZ", s.line(series, y), chartUp, s.x(series.Points[0].At))
}

// timeTicks are at most ten round moments.
func (s scales) timeTicks() []tick {
	steps := []float64{1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 4 * 3600, 6 * 3600, 12 * 3600, 86400}
	step := steps[len(steps)-1]
	for _, x := range steps {
		if s.time/x <= 9 {
			step = x
			break
		}
	}
	step *= math.Ceil(s.time / step / 10)
	var ticks []tick
	for t := step; t < 0.97*s.time; t += step {
		ticks = append(ticks, tick{s.x(t), clock(t)})
	}
	return ticks
}

func clock(t float64) string {
	switch {
	case t < 120:
		return fmt.Sprintf("%.0f s", t)
	case t < 7200:
		return fmt.Sprintf("%.0f min", t/60)
	}
	return fmt.Sprintf("%.3g h", t/3600)
}

// backlogTicks are the whole and the quarter of the largest backlog, rounded down to two digits.
func (s scales) backlogTicks() []tick {
	var ticks []tick
	for _, share := range []float64{0.25, 1} {
		x := s.backlog * share
		unit := math.Pow(10, math.Floor(math.Log10(x))-1)
		if x = math.Floor(x/unit+1e-9) * unit; x >= 1 {
			ticks = append(ticks, tick{s.depth(x), short(x)})
		}
	}
	return ticks
}

// short writes a number in three digits, or two where it is small.
func short(x float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		if x >= u.size {
			if u.name == "k" {
				return fmt.Sprintf("%.3gk", x/1e3)
			}
			return fmt.Sprintf("%.3g%s", x/u.size, u.name)
		}
	}
	switch {
	case x >= 100:
		return fmt.Sprintf("%.0f", x)
	case x < 1:
		return fmt.Sprintf("%.2g", x)
	}
	return fmt.Sprintf("%.3g", x)
}

package main

import (
	"fmt"
	"os"
	"strings"
)

// draw writes the samples as an SVG picture: four panels above one another, each from zero to its largest value.
func draw(file string, samples []sample) error {
	const width, height, gap, left = 900.0, 110.0, 40.0, 20.0
	panels := []struct {
		name string
		of   func(sample) float64
	}{
		{"web node, MB", func(s sample) float64 { return float64(s.node.resident) / (1 << 20) }},
		{"web node, open descriptors", func(s sample) float64 { return float64(s.node.descriptors) }},
		{"largest worker, MB", func(s sample) float64 { return float64(s.workers.resident) / (1 << 20) }},
		{"images that wait", func(s sample) float64 { return float64(s.backlog) }},
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="system-ui, sans-serif" font-size="13">`+"\n",
		width+2*left, float64(len(panels))*(height+gap)+gap)
	b.WriteString(`<rect width="100%" height="100%" fill="#fff"/>` + "\n")
	length := samples[len(samples)-1].at
	for i, p := range panels {
		top, most := gap+float64(i)*(height+gap), 1.0
		for _, s := range samples {
			most = max(most, p.of(s))
		}
		fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" fill="#333">%s, at most %.0f</text>`+"\n", left, top-8, p.name, most)
		fmt.Fprintf(&b, `<rect x="%.0f" y="%.0f" width="%.0f" height="%.0f" fill="#f4f6f8"/>`+"\n", left, top, width, height)
		var line strings.Builder
		for _, s := range samples {
			fmt.Fprintf(&line, "%.1f,%.1f ", left+width*s.at/length, top+height*(1-p.of(s)/most))
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="#2563a8" stroke-width="1.5"/>`+"\n", strings.TrimSpace(line.String()))
	}
	fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" fill="#333" text-anchor="end">%.0f s</text>`+"\n</svg>\n", left+width, float64(len(panels))*(height+gap)+gap-12, length)
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("writing the picture: %w", err)
	}
	return nil
}

package main

import (
	"math"
	"os"
	"testing"
	"time"
)

// The networks have as many weights as those whose layers they copy: 3.50 and 11.69 million, by the tables of torchvision's documentation
// (batch normalisation has none of its own here).
func TestNetworks(t *testing.T) {
	if os.Getenv("OCELLI_ONNXRUNTIME") == "" {
		t.Skip("OCELLI_ONNXRUNTIME does not name ONNX Runtime's library; `make test` does")
	}
	for name, c := range map[string]struct {
		n        *network
		millions float64
		bytes    float64 // of a weight
	}{"mobilenet": {mobileNetV2(false), 3.50, 4}, "mobilenet-int8": {mobileNetV2(true), 3.50, 1}, "resnet18": {resNet18(), 11.69, 4}} {
		path, err := c.n.save(t.TempDir(), name)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := float64(info.Size()) / c.bytes / 1e6; math.Abs(got-c.millions) > 0.04*c.millions {
			t.Errorf("%s has %.2f million weights, want %.2f", name, got, c.millions)
		}
		m, err := model{path: path}.open()
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if p, err := limit(t.Context(), m, painted(2, 300, 200), 4); err != nil || p.rate <= 0 {
			t.Errorf("%s: %v images/s, %v", name, p.rate, err)
		}
	}
}

func TestFigures(t *testing.T) {
	if got := spread([]float64{3, 1, 2, 4}, "%.1f"); got != "2.5 (1.0–4.0)" {
		t.Error(got)
	}
	times := make([]time.Duration, 100)
	for i := range times {
		times[i] = time.Duration(100-i) * time.Millisecond
	}
	if got := percentile(times, 0.95); got != 96 {
		t.Errorf("the 95th percentile of 1 to 100 ms is %v", got)
	}
}

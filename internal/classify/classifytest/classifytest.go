// Package classifytest holds the suite that every [classify.Classifier] must pass.
package classifytest

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/classify"
)

// Picture returns a picture of smooth noise, the same for the same arguments.
func Picture(width, height int, seed uint64) ocelli.Pixels {
	r := rand.New(rand.NewPCG(seed, 17))
	img := ocelli.Pixels{Width: width, Height: height, RGB: make([]byte, 3*width*height)}
	for i := range 3 {
		level, slope, length := 255*r.Float64(), r.Float64()-0.5, 1+20*r.Float64()
		wave := make([]float64, width+height)
		for d := range wave {
			wave[d] = level + 40*math.Sin(float64(d)/length)
		}
		for y := range height {
			for x := range width {
				v := wave[x+y] + slope*float64(x-y)
				img.RGB[3*(y*width+x)+i] = byte(min(max(v, 0), 255))
			}
		}
	}
	return img
}

// Run tests the classifier that open returns. Each test opens and closes one.
func Run(t *testing.T, open func(*testing.T) classify.Classifier) {
	tests := map[string]func(*testing.T, classify.Classifier){
		"it says which model it is":                  testModel,
		"no images give no labels":                   testEmpty,
		"labels are probabilities, best first":       testLabels,
		"the same labels alone and in a batch":       testBatch,
		"the same labels from many goroutines":       testConcurrent,
		"pictures of any size and shape have labels": testOddSizes,
		"pictures are left as they were":             testUnchanged,
		"a context that has ended ends the call":     testCancelled,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := open(t)
			test(t, c)
			if err := c.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

func classifyAll(t *testing.T, c classify.Classifier, images ...ocelli.Pixels) [][]ocelli.Label {
	t.Helper()
	labels, err := c.Classify(t.Context(), images...)
	if err != nil {
		t.Fatalf("Classify: %v", err)
	}
	if len(labels) != len(images) {
		t.Fatalf("Classify gave %d lists of labels for %d images", len(labels), len(images))
	}
	return labels
}

func testModel(t *testing.T, c classify.Classifier) {
	m := c.Model()
	if m.Name == "" || len(m.SHA256) != 64 || m.Preprocessing == "" {
		t.Errorf("Model() = %+v: want a name, a SHA-256 and the preprocessing", m)
	}
	if c.ShortSide() < 0 {
		t.Errorf("ShortSide() = %d", c.ShortSide())
	}
}

func testEmpty(t *testing.T, c classify.Classifier) { classifyAll(t, c) }

func testLabels(t *testing.T, c classify.Classifier) {
	for seed := range uint64(3) {
		labels := classifyAll(t, c, Picture(120, 80, seed))[0]
		if len(labels) == 0 {
			t.Fatal("no labels")
		}
		sum := 0.0
		for i, l := range labels {
			sum += l.Score
			if l.Name == "" || !(l.Score >= 0 && l.Score <= 1) {
				t.Errorf("label %d is %+v", i, l)
			}
			if i > 0 && l.Score > labels[i-1].Score {
				t.Errorf("label %d has the score %g after %g", i, l.Score, labels[i-1].Score)
			}
		}
		if sum > 1.0001 {
			t.Errorf("the scores add up to %g", sum)
		}
	}
}

// same reports how two answers for one picture differ. Kernels for a batch may add up in another order.
func same(a, b []ocelli.Label) error {
	if len(a) != len(b) {
		return fmt.Errorf("%d labels and %d", len(a), len(b))
	}
	for i := range a {
		if math.Abs(a[i].Score-b[i].Score) > 1e-4 {
			return fmt.Errorf("label %d: %q %g and %q %g", i, a[i].Name, a[i].Score, b[i].Name, b[i].Score)
		}
	}
	if a[0].Name != b[0].Name && a[0].Score-a[1].Score > 1e-4 {
		return fmt.Errorf("first %q and %q", a[0].Name, b[0].Name)
	}
	return nil
}

func pictures(n int) []ocelli.Pixels {
	images := make([]ocelli.Pixels, n)
	for i := range images {
		images[i] = Picture(64+7*i, 97-2*i, uint64(i))
	}
	return images
}

func testBatch(t *testing.T, c classify.Classifier) {
	images := pictures(20)
	together := classifyAll(t, c, images...)
	for i, img := range images {
		alone := classifyAll(t, c, img)[0]
		if err := same(alone, together[i]); err != nil {
			t.Errorf("image %d alone and in a batch of %d: %v", i, len(images), err)
		}
	}
}

func testConcurrent(t *testing.T, c classify.Classifier) {
	images := pictures(6)
	want := classifyAll(t, c, images...)
	var wg sync.WaitGroup
	for g := range 6 {
		wg.Go(func() {
			for i := range images {
				i = (i + g) % len(images)
				got, err := c.Classify(t.Context(), images[i])
				if err == nil {
					err = same(want[i], got[0])
				}
				if err != nil {
					t.Errorf("goroutine %d, image %d: %v", g, i, err)
				}
			}
		})
	}
	wg.Wait()
}

func testOddSizes(t *testing.T, c classify.Classifier) {
	for _, size := range [][2]int{{1, 1}, {2, 1}, {1, 5000}, {5000, 1}, {63, 65}, {255, 256}, {600, 400}} {
		if labels := classifyAll(t, c, Picture(size[0], size[1], 3))[0]; len(labels) == 0 {
			t.Errorf("%d×%d: no labels", size[0], size[1])
		}
	}
}

func testUnchanged(t *testing.T, c classify.Classifier) {
	img := Picture(90, 60, 1)
	before := bytes.Clone(img.RGB)
	classifyAll(t, c, img)
	if !bytes.Equal(before, img.RGB) {
		t.Error("Classify changed the pixels")
	}
}

func testCancelled(t *testing.T, c classify.Classifier) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Classify(ctx, Picture(10, 10, 1)); err == nil {
		t.Error("Classify with an ended context: no error")
	}
}

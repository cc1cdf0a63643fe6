package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
)

// againstReference compares a request of a hundred photos with the design that the service grew from: a web page that puts each image into a
// bucket and a queue, workers that run a classifier as a shell command for each, and a page that asks the bucket for each result.
func (b *bench) againstReference(ctx context.Context) error {
	if b.reference == "" {
		b.say("the reference system is not compared with: name its folder with -reference or REFERENCE")
		return nil
	}
	photos, err := b.photos()
	if err != nil {
		return err
	}
	resNet, err := resNet18().save(b.dir, "resnet18")
	if err != nil {
		return err
	}
	t := b.table("The reference's design", "A hundred photos in one request on this machine, workers running on both sides before it; and two such requests at once. The reference runs "+
		"ResNet-18 by PyTorch in two workers: as a shell command for each image, as it did, or with the model kept loaded, as it did not.",
		"service", "100, s", "2 × 100, s", "100, against ours")
	ours := map[string][2]float64{}
	for _, m := range []model{{"default", "this, the default model", ""}, {"resnet18", "this, ResNet-18's layers", resNet}} {
		one, two, err := b.ourHundred(ctx, m, photos)
		if err != nil {
			return err
		}
		ours[m.key] = [2]float64{one, two}
		t.row(m.says, fmt.Sprintf("%.2f", one), fmt.Sprintf("%.2f", two), "–")
		b.say("%s: %.2f s, two at once %.2f s", m.says, one, two)
	}
	for _, mode := range []struct{ name, says string }{{"loaded", "reference, model kept loaded"}, {"shell", "reference, a command for each image"}} {
		one, err := b.theirHundred(ctx, mode.name, "single")
		if err != nil {
			return err
		}
		twice := "–" // seven minutes for a figure that says nothing new
		if mode.name == "loaded" {
			two, err := b.theirHundred(ctx, mode.name, "multi")
			if err != nil {
				return err
			}
			twice = fmt.Sprintf("%.1f", two)
		}
		t.row(mode.says, fmt.Sprintf("%.1f", one), twice,
			fmt.Sprintf("%.0f × the default model's, %.1f × ResNet-18's", one/ours["default"][0], one/ours["resnet18"][0]))
		b.say("%s: %.1f s", mode.says, one)
		if mode.name == "shell" {
			b.result("times_reference_100", one/ours["default"][0])
			b.result("times_reference_100_same_network", one/ours["resnet18"][0])
		} else {
			b.result("times_reference_100_loaded", one/ours["default"][0])
		}
	}
	return nil
}

// ourHundred returns the seconds of one request of a hundred photos, and of two at once, with workers that are there.
func (b *bench) ourHundred(ctx context.Context, m model, photos [][]byte) (one, two float64, err error) {
	s, _, err := b.start(ctx, m.args()...)
	if err != nil {
		return 0, 0, err
	}
	defer s.stop()
	job := jobOf(photos, 100)
	if err := s.do(ctx, job); err != nil {
		return 0, 0, err
	}
	var ones, twos []float64
	for range b.rounds {
		for connections, times := range map[int]*[]float64{1: &ones, 2: &twos} {
			began := time.Now()
			group, groupCtx := errgroup.WithContext(ctx)
			for range connections {
				group.Go(func() error { return s.do(groupCtx, job) })
			}
			if err := group.Wait(); err != nil {
				return 0, 0, err
			}
			*times = append(*times, time.Since(began).Seconds())
		}
	}
	return median(ones), median(twos), nil
}

// theirHundred runs the reference's design once.
func (b *bench) theirHundred(ctx context.Context, mode, pattern string) (seconds float64, err error) {
	cmd := exec.CommandContext(ctx, "bash", filepath.Join(b.reference, "run.sh"), "2", "100", mode)
	cmd.Env = append(os.Environ(), "PATTERN="+pattern, "REQS=2", "GOFLAGS=")
	if b.photoDir != "" {
		cmd.Env = append(cmd.Env, "IMGDIR="+b.photoDir)
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("the reference in %s: %w: %.500s", b.reference, err, errs.Bytes())
	}
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var said struct {
		Wall float64 `json:"wall_s"`
	}
	if err := json.Unmarshal(lines[len(lines)-1], &said); err != nil || said.Wall <= 0 {
		return 0, fmt.Errorf("the reference in %s said %.300q", b.reference, out)
	}
	return said.Wall, nil
}

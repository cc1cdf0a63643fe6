package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// growth sends more and more images at once, and looks at what one of them costs.
func (b *bench) growth(ctx context.Context) error {
	t := b.table("Growth", "So many pictures of 64 × 64 are sent in jobs of 1,000, nobody waiting for results, with the model `echo`: until they are accepted, and until "+
		"the last has its result. Memory is the most that the parent process had.", "images", "accepted, images/s", "done, ms per image", "memory, MB", "disk, KB per image")
	type cost struct{ time, memory float64 }
	costs := map[int]cost{}
	for n := 1000; n <= b.most; n *= 10 {
		took, accepted, mb, kb, err := b.grow(ctx, n)
		if err != nil {
			return err
		}
		each := ms(took) / float64(n)
		costs[n] = cost{each, mb}
		t.row(fmt.Sprint(n), fmt.Sprintf("%.0f", float64(n)/accepted.Seconds()), fmt.Sprintf("%.2f", each), fmt.Sprintf("%.0f", mb), fmt.Sprintf("%.1f", kb))
		b.say("%d images: %.2f ms each, %.0f MB", n, each, mb)
	}
	if large, ok := costs[1_000_000]; ok {
		b.result("growth_time_1m_over_10k", large.time/costs[10_000].time)
		b.result("growth_memory_1m_over_10k", large.memory/1e6/(costs[10_000].memory/1e4)) // per image, as is the time
	}
	return nil
}

func (b *bench) grow(ctx context.Context, n int) (took, accepted time.Duration, mb, kb float64, err error) {
	const perJob = 1000
	dir, err := os.MkdirTemp(b.dir, "growth-") // removed when all is measured, since removing slows down what comes next
	if err != nil {
		return 0, 0, 0, 0, err
	}
	s, _, err := b.startIn(ctx, dir, "--model", "echo")
	if err != nil {
		return 0, 0, 0, 0, err
	}
	defer s.stop()
	job := jobOf(thumbnails(), perJob)
	job.path = "/v1/jobs"
	began := time.Now()
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for range n / perJob {
		group.Go(func() error { _, err := s.post(groupCtx, job); return err })
	}
	if err = group.Wait(); err != nil {
		return 0, 0, 0, 0, err
	}
	accepted = time.Since(began)
	if err = s.until(ctx, 2*time.Hour, func(backlog int64, _ int) bool { return backlog == 0 }); err != nil {
		return 0, 0, 0, 0, err
	}
	took = time.Since(began)
	if mb, err = s.peakMB(); err != nil {
		return 0, 0, 0, 0, err
	}
	bytes, results, err := used(dir)
	if err == nil && results != n {
		err = fmt.Errorf("%d of %d images have a result", results, n)
	}
	return took, accepted, mb, float64(bytes) / 1024 / float64(n), err
}

// used returns the bytes that a folder takes on disk, and how many results are in it.
func used(dir string) (bytes int64, results int, err error) {
	err = filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var stat unix.Stat_t
		if err := unix.Lstat(path, &stat); err != nil {
			return err
		}
		bytes += stat.Blocks * 512
		if ok, _ := filepath.Match(filepath.Join(dir, "output", "*", "*.json"), path); ok {
			results++
		}
		return nil
	})
	return bytes, results, err
}

package main

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"time"
)

// thumbnails are the pictures of the parts that measure everything but the network: small, so that reading them costs little.
func thumbnails() [][]byte { return painted(20, 64, 64) }

// calmRate is the load under which the time that the service adds is told: with sixteen connections that are always busy a service
// of any kind has sixteen images in hand, and each takes sixteen times its share.
const calmRate = 100 // images per second

// overhead measures the whole durable path with a model that takes no time.
func (b *bench) overhead(ctx context.Context) error {
	pictures := thumbnails()
	through := b.table("The durable path alone", "Pictures of 64 × 64 with the model `echo`, which names the main colour: every image and every result is on disk "+
		"before it is answered for. Jobs of 100. One worker for each core, since without a network it is the worker's own work that counts.", "connections", "images/s")
	delay := b.table("What the path adds to one image", "One picture per request, from its first byte sent to its labels received. "+
		fmt.Sprintf("Calm: %d images/s in all, evenly; busy: each connection sends the next as soon as it has the answer.", calmRate),
		"connections", "load", "p50, ms", "p95, ms", "p99, ms", "images/s")
	rates := map[int][]float64{}
	times := map[paced][3][]float64{}
	single := map[paced][]float64{}
	for range b.rounds {
		err := b.with(ctx, []string{"--model", "echo", "--max-workers", strconv.Itoa(runtime.NumCPU())}, func(s *service) error {
			job := jobOf(pictures, 100)
			for _, connections := range []int{1, 4, 8} {
				p, err := b.inSteadyState(ctx, s, job, connections, 2*time.Second)
				if err != nil {
					return err
				}
				rates[connections] = append(rates[connections], p.rate)
			}
			return nil
		})
		if err != nil {
			return err
		}
		err = b.with(ctx, []string{"--model", "echo"}, func(s *service) error {
			if err := keepBusy(ctx, s, one(pictures[0]), 4, time.Second); err != nil {
				return err
			}
			for _, connections := range []int{1, 16, 100} {
				for _, calm := range []bool{true, false} {
					gap := time.Duration(0)
					if calm {
						gap = time.Second * time.Duration(connections) / calmRate
					}
					took, elapsed, err := latencies(ctx, s, one(pictures[0]), connections, gap, b.length())
					if err != nil {
						return err
					}
					k := paced{connections, calm}
					t := times[k]
					for i, p := range []float64{0.50, 0.95, 0.99} {
						t[i] = append(t[i], percentile(took, p))
					}
					times[k] = t
					single[k] = append(single[k], float64(len(took))/elapsed.Seconds())
					b.say("%d connections, calm %t: p50 %.1f, p95 %.1f ms", connections, calm, percentile(took, 0.5), percentile(took, 0.95))
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	b.tellOverhead(through, delay, rates, times, single)
	return nil
}

// paced is one way in which single pictures are sent.
type paced struct {
	connections int
	calm        bool
}

// tellOverhead enters what was measured.
func (b *bench) tellOverhead(through, delay *table, rates map[int][]float64, times map[paced][3][]float64, single map[paced][]float64) {
	best := 0.0
	for _, connections := range []int{1, 4, 8} {
		through.row(fmt.Sprint(connections), spread(rates[connections], "%.0f"))
		best = max(best, median(rates[connections]))
	}
	b.result("null_model_images_per_s", best)
	for _, connections := range []int{1, 16, 100} {
		for _, calm := range []bool{true, false} {
			k, load := paced{connections, calm}, "busy"
			if calm {
				load = "calm"
			}
			t := times[k]
			delay.row(fmt.Sprint(connections), load, spread(t[0], "%.1f"), spread(t[1], "%.1f"), spread(t[2], "%.1f"), spread(single[k], "%.0f"))
		}
	}
	b.result("null_model_p95_added_ms", median(times[paced{16, true}][1]))
}

// with starts a service, lets do measure it, and stops it.
func (b *bench) with(ctx context.Context, args []string, do func(*service) error) error {
	s, _, err := b.start(ctx, args...)
	if err != nil {
		return err
	}
	defer s.stop()
	return do(s)
}

func (b *bench) length() time.Duration { return time.Duration(b.seconds * float64(time.Second)) }

// latencies sends a request over so many connections for some time and returns how long each took. With a gap, each connection begins a
// request when one is due: every gap, the connections evenly between, and a request that is late counts from when it was due.
func latencies(ctx context.Context, s *service, r request, connections int, gap, length time.Duration) (took []time.Duration, elapsed time.Duration, err error) {
	var mu sync.Mutex
	var all sync.WaitGroup
	errs := make(chan error, connections)
	began := time.Now()
	for c := range connections {
		all.Go(func() {
			due := began.Add(gap * time.Duration(c) / time.Duration(connections))
			for time.Since(began) < length {
				if gap > 0 {
					time.Sleep(time.Until(due))
				} else {
					due = time.Now()
				}
				if err := s.do(ctx, r); err != nil {
					errs <- err
					return
				}
				mu.Lock()
				took = append(took, time.Since(due))
				mu.Unlock()
				due = due.Add(gap)
			}
		})
	}
	all.Wait()
	elapsed = time.Since(began)
	select {
	case err = <-errs:
	default:
	}
	return took, elapsed, err
}

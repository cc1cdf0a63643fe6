package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// keepBusy keeps so many connections busy with a request for some time, and until the last answer has come.
func keepBusy(ctx context.Context, s *service, r request, connections int, length time.Duration) error {
	end := time.Now().Add(length)
	all, ctx := errgroup.WithContext(ctx)
	for range connections {
		all.Go(func() error {
			for time.Now().Before(end) {
				if err := s.do(ctx, r); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return all.Wait()
}

// inSteadyState measures the service while so many connections are kept busy, from when they have been for the time warm. What it has done
// is what it counts itself, since an answer comes for a hundred images at once; that they have labels is seen in the answers.
func (b *bench) inSteadyState(ctx context.Context, s *service, r request, connections int, warm time.Duration) (pace, error) {
	const rest = 500 * time.Millisecond // the senders go on for so long after it
	busy := make(chan error, 1)
	go func() { busy <- keepBusy(ctx, s, r, connections, warm+b.length()+rest) }()
	time.Sleep(warm)
	from, err := s.reading(ctx)
	if err == nil {
		time.Sleep(b.length())
		var to reading
		if to, err = s.reading(ctx); err == nil {
			return paceOf(to.ended-from.ended, to.at.Sub(from.at), to.cpu-from.cpu), <-busy
		}
	}
	<-busy
	return pace{}, err
}

// reading is what a service had done at some time.
type reading struct {
	at    time.Time
	ended int           // images with a result
	cpu   time.Duration // of all its processes
}

func (s *service) reading(ctx context.Context) (reading, error) {
	cpu, err := s.cpu()
	if err != nil {
		return reading{}, err
	}
	text, err := s.get(ctx, "/metrics")
	if err != nil {
		return reading{}, err
	}
	r := reading{at: time.Now(), cpu: cpu}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if name, count, _ := strings.Cut(lines.Text(), " "); strings.HasPrefix(name, "ocelli_images_ended_total") {
			n, err := strconv.ParseFloat(count, 64)
			if err != nil {
				return reading{}, fmt.Errorf("%s: %w", lines.Text(), err)
			}
			r.ended += int(n)
		}
	}
	return r, nil
}

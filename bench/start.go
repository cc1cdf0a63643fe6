package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// starts measures how long things take from nothing, and what the service takes when it has nothing to do.
func (b *bench) starts(ctx context.Context) error {
	photos, err := b.photos()
	if err != nil {
		return err
	}
	var ready, again, cold, warm, idle, own []float64
	for range b.rounds {
		dir, err := os.MkdirTemp(b.dir, "start-")
		if err != nil {
			return err
		}
		for _, times := range []*[]float64{&ready, &again} {
			s, took, err := b.startIn(ctx, dir)
			if err != nil {
				return err
			}
			*times = append(*times, ms(took))
			if times == &ready {
				s.stop()
				continue
			}
			err = func() error {
				defer s.stop()
				for _, times := range []*[]float64{&cold, &warm} {
					began := time.Now()
					if err := s.do(ctx, one(photos[0])); err != nil {
						return err
					}
					*times = append(*times, ms(time.Since(began)))
				}
				if err := s.do(ctx, jobOf(photos, 100)); err != nil {
					return err
				}
				if err := s.until(ctx, 3*time.Minute, func(_ int64, workers int) bool { return workers == 0 }); err != nil {
					return err
				}
				time.Sleep(3 * time.Second) // it gives memory back then
				mb, err := s.residentMB()
				if err != nil {
					return err
				}
				its, err := s.ownMB()
				idle, own = append(idle, mb), append(own, its)
				return err
			}()
			if err != nil {
				return err
			}
			b.say("ready in %.0f and %.0f ms, first answer in %.0f ms, idle %.0f MB", ready[len(ready)-1], again[len(again)-1], cold[len(cold)-1], idle[len(idle)-1])
		}
	}
	info, err := os.Stat(b.binary)
	if err != nil {
		return err
	}
	t := b.table("Start and rest", "`ocelli up` with the default model.", "what", "measured")
	t.row("ready, in a new folder", spread(ready, "%.0f")+" ms")
	t.row("ready, in a folder that is there", spread(again, "%.0f")+" ms")
	t.row("first answer, no worker running", spread(cold, "%.0f")+" ms")
	t.row("second answer", spread(warm, "%.0f")+" ms")
	t.row("memory after 100 photos, no worker left", spread(idle, "%.0f")+" MB")
	t.row("of that not the program's file", spread(own, "%.0f")+" MB")
	t.row("the binary, without ONNX Runtime", fmt.Sprintf("%.0f MB", float64(info.Size())/1e6))
	b.result("up_ready_ms", median(ready))
	b.result("worker_cold_answer_ms", median(cold))
	b.result("idle_rss_mb", median(idle))
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// jobs measures what a person sees who sends a hundred photos.
func (b *bench) jobs(ctx context.Context) error {
	photos, err := b.photos()
	if err != nil {
		return err
	}
	int8, err := mobileNetV2(true).save(b.dir, "mobilenet-int8")
	if err != nil {
		return err
	}
	all := []model{{"default", "the default model", ""}, {"mobilenet_int8", "MobileNetV2's layers, int8", int8}}
	if b.quick != "" {
		all = append(all, model{"quick", "the int8 model that was given", b.quick})
	}
	t := b.table("A hundred photos in one request", "From the first byte sent to the last result received, against the time that the limit takes for as many.",
		"network", "limit, s", "one warm worker at least, s", "no worker running, s", "first answer, no worker running, s")
	for _, m := range all {
		classifier, err := m.open()
		if err != nil {
			return err
		}
		var limits, warm, cold, first []float64
		for range b.rounds {
			err := b.oneJob(ctx, m, jobOf(photos, 100), one(photos[0]), &warm, &cold, &first)
			if err != nil {
				return err
			}
			p, err := limit(ctx, classifier, photos, 200)
			if err != nil {
				return err
			}
			limits = append(limits, 100/p.rate)
			b.say("%s: limit %.2f, warm %.2f, cold %.2f, first %.2f s", m.says, limits[len(limits)-1], warm[len(warm)-1], cold[len(cold)-1], first[len(first)-1])
		}
		if err := classifier.Close(); err != nil {
			return err
		}
		t.row(m.says, spread(limits, "%.2f"), spread(warm, "%.2f"), spread(cold, "%.2f"), spread(first, "%.2f"))
		b.result("job_100_warm_s_"+m.key, median(warm))
	}
	return nil
}

// oneJob adds the seconds that a job takes with no worker running, with workers that are there, and those to a first answer.
func (b *bench) oneJob(ctx context.Context, m model, job, single request, warm, cold, first *[]float64) error {
	for _, begin := range []struct {
		r  request
		to *[]float64
	}{{job, cold}, {single, first}} {
		s, _, err := b.start(ctx, m.args()...)
		if err != nil {
			return err
		}
		began := time.Now()
		err = s.do(ctx, begin.r)
		*begin.to = append(*begin.to, time.Since(began).Seconds())
		if err == nil && begin.to == cold {
			began = time.Now()
			err = s.do(ctx, job)
			*warm = append(*warm, time.Since(began).Seconds())
		}
		s.stop()
		if err != nil {
			return err
		}
	}
	return nil
}

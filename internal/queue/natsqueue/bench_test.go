package natsqueue

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/queue"
)

// batch returns n messages of a group with bodies of 300 bytes, which is what an image takes.
func batch(prefix, group string, n int) []queue.Message {
	msgs := make([]queue.Message, n)
	for i := range msgs {
		msgs[i] = queue.Message{ID: fmt.Sprintf("%s-%d", prefix, i), Group: group, Body: fmt.Appendf(nil, "%300d", i)}
	}
	return msgs
}

func BenchmarkSend(b *testing.B) {
	for _, n := range []int{1, 4, 10, 50, 100} {
		for how, send := range map[string]func(*Queue, context.Context, []queue.Message) error{
			"each": (*Queue).sendEach, "atomic": (*Queue).sendBatch,
		} {
			b.Run(fmt.Sprintf("%s/%d", how, n), func(b *testing.B) {
				q := openConfig(b, Config{Lease: time.Minute})
				for i := 0; b.Loop(); i++ {
					if err := send(q, b.Context(), batch(fmt.Sprint(i), "g", n)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkLatency is from before a Send to after the Receive of another connection, which is waiting.
func BenchmarkLatency(b *testing.B) {
	for _, receivers := range []int{1, 4} {
		b.Run(fmt.Sprint(receivers), func(b *testing.B) {
			name := fmt.Sprint("latency-", names.Add(1))
			q := openConfig(b, Config{Name: name, Lease: time.Minute})
			ctx, cancel := context.WithCancel(b.Context())
			got := make(chan time.Time)
			var wg sync.WaitGroup
			for range receivers {
				r := openConfig(b, Config{Name: name, Lease: time.Minute})
				wg.Go(func() {
					for ctx.Err() == nil {
						ds, err := r.Receive(ctx, 4, 20*time.Second)
						if len(ds) > 0 {
							got <- time.Now()
							err = r.Ack(ctx, ds...)
						}
						if err != nil && ctx.Err() == nil {
							b.Error(err)
							return
						}
					}
				})
			}
			var sent, total []time.Duration
			for i := 0; b.Loop(); i++ {
				<-time.After(3 * time.Millisecond) // until the receivers wait again
				start := time.Now()
				if err := q.Send(ctx, batch(fmt.Sprint(i), fmt.Sprint(i), 1)...); err != nil {
					b.Fatal(err)
				}
				sent = append(sent, time.Since(start))
				total = append(total, (<-got).Sub(start))
			}
			cancel()
			wg.Wait()
			report(b, "send", sent)
			report(b, "receive", total)
		})
	}
}

func report(b *testing.B, what string, all []time.Duration) {
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds())/1000, what+"-p50-ms")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds())/1000, what+"-p99-ms")
}

// BenchmarkReceive is the rate of Receive and Ack with receivers on connections of their own, out of a
// backlog of 20,000 messages in a number of groups.
func BenchmarkReceive(b *testing.B) {
	for _, c := range []struct{ receivers, max, groups int }{
		{1, 1, 1}, {1, 4, 1}, {2, 1, 1}, {2, 4, 1}, {2, 10, 1}, {2, 4, 50}, {2, 10, 50},
	} {
		b.Run(fmt.Sprintf("receivers=%d,max=%d,groups=%d", c.receivers, c.max, c.groups), func(b *testing.B) {
			const backlog = 20_000
			name := fmt.Sprint("receive-", names.Add(1))
			q := openConfig(b, Config{Name: name, Lease: time.Minute})
			for i := range backlog / 100 {
				if err := q.Send(b.Context(), batch(fmt.Sprint(i), fmt.Sprint("group", i%c.groups), 100)...); err != nil {
					b.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(b.Context(), 3*time.Second)
			defer cancel()
			var n atomic.Int64
			var wg sync.WaitGroup
			start := time.Now()
			for range c.receivers {
				r := openConfig(b, Config{Name: name, Lease: time.Minute})
				wg.Go(func() {
					for ctx.Err() == nil && n.Load() < backlog {
						ds, err := r.Receive(ctx, c.max, 0)
						if err == nil {
							err = r.Ack(ctx, ds...)
						}
						if err != nil {
							return
						}
						n.Add(int64(len(ds)))
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(n.Load())/time.Since(start).Seconds(), "msg/s")
		})
	}
}

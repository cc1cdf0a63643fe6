package fileblob

import (
	"bytes"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkImages does for each image what the service does: one Put of the image and one Create of its result, both
// durable. 25 images make a job, with folders of its own.
func BenchmarkImages(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10} {
		for _, writers := range []int{1, 8, 32} {
			b.Run(fmt.Sprintf("%dKB/writers=%d", size>>10, writers), func(b *testing.B) {
				s := openStore(b, b.TempDir())
				image, result := make([]byte, size), make([]byte, 1<<10)
				var next atomic.Int64
				var group sync.WaitGroup
				b.ResetTimer()
				before := cpuTime()
				for range writers {
					group.Go(func() {
						for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
							name := fmt.Sprintf("job-%08d/image-%08d", i/25, i)
							if _, err := s.Put(b.Context(), "input/"+name, bytes.NewReader(image)); err != nil {
								b.Error(err)
							}
							if won, err := s.Create(b.Context(), "output/"+name+".json", result); err != nil || !won {
								b.Error(won, err)
							}
						}
					})
				}
				group.Wait()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
				// A busy machine changes the rate, and the use of the processors less.
				b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(b.N), "cpu-µs/image")
			})
		}
	}
}

// cpuTime returns how long this process has kept processors busy, in its own code and in the kernel.
func cpuTime() time.Duration {
	var usage unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

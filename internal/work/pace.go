package work

import (
	"sync"
	"time"
)

const (
	aheadTime = 30 * time.Millisecond // of work that a worker has leased, as a rule
	maxAhead  = 32                    // images that a worker has leased at most, however fast it is
	paceShare = 0.1                   // of the last image in the mean
)

// pace is how fast images are worked on.
type pace struct {
	mu   sync.Mutex
	mean time.Duration // for one image; 0 before the first
}

func (p *pace) took(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mean == 0 {
		p.mean = d
	}
	p.mean += time.Duration(paceShare * float64(d-p.mean))
}

// ahead is how many images a worker should have leased that works on so many at once: those in hand and as many again, or what it does
// in aheadTime where that is more.
func (p *pace) ahead(concurrency int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 2 * concurrency
	if p.mean > 0 {
		n = max(n, concurrency*int(aheadTime/max(p.mean, time.Microsecond)))
	}
	return min(n, max(maxAhead, 2*concurrency))
}

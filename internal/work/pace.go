package work

import (
	"sync"
	"time"

	"github.com/ocelli/ocelli"
)

const (
	aheadTime = 50 * time.Millisecond // for which a worker has work when the queue gives it none
	maxAhead  = 32                    // images that a worker has leased at most, however fast it is, unless it looks at more than half as many at once
	paceShare = 0.1                   // of the last image in the means

	besideMost = time.Second // of one image: where the store does not answer for a while, that is no measure
)

// pace is how long images take, on the mean: in the decoder and the network, and beside that, for being fetched, saved and acknowledged.
type pace struct {
	mu             sync.Mutex
	known          bool
	looked, beside time.Duration
}

// took takes in one image, with how long it took to be saved and acknowledged.
func (p *pace) took(t ocelli.Timings, saved time.Duration) {
	looked := time.Duration((t.Decode + t.Infer) * float64(time.Millisecond))
	beside := min(saved+time.Duration(t.Fetch*float64(time.Millisecond)), besideMost)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.known {
		p.looked, p.beside, p.known = looked, beside, true
	}
	p.looked += time.Duration(paceShare * float64(looked-p.looked))
	p.beside += time.Duration(paceShare * float64(beside-p.beside))
}

// ahead is how many images a worker should have leased that looks at so many at once: those, and as many as it will look at while one is
// fetched and saved and the queue is asked; at least as many again.
func (p *pace) ahead(concurrency int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	turns := 1
	if p.known {
		turns = max(1, int((p.beside+aheadTime)/max(p.looked, time.Microsecond)))
	}
	return min(concurrency*(1+turns), mostAhead(concurrency))
}

// mostAhead is what ahead is at most.
func mostAhead(concurrency int) int { return max(maxAhead, 2*concurrency) }

package sim

import (
	"container/heap"
	"math/rand/v2"
	"slices"

	"github.com/ocelli/ocelli/internal/scale"
)

// exactPool follows each image and each worker.
type exactPool struct {
	tally
	rng     *rand.Rand
	queue   []Batch // in order of arrival; the first may be partly taken
	taken   int64   // of the first
	waiting int64
	workers workerHeap
	vary    float64

	begun, worked float64 // since the last observation
}

// worker is one worker. It is busy until free; before ready it is starting.
type worker struct {
	asked, ready, free float64
	arrived            float64 // of the image that it holds until free
	known              bool    // its start-up has been observed
}

func (w *worker) busy(now float64) bool { return w.ready <= now && w.free > now }

// workerHeap has the worker that is free first on top.
type workerHeap []worker

func (h workerHeap) Len() int           { return len(h) }
func (h workerHeap) Less(i, j int) bool { return h[i].free < h[j].free }
func (h workerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *workerHeap) Push(x any)        { *h = append(*h, x.(worker)) }
func (h *workerHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

func (p *exactPool) enqueue(b Batch) {
	p.queue = append(p.queue, b)
	p.waiting += b.Count
}

// advance lets the workers take images, in order, until to.
func (p *exactPool) advance(to float64) {
	for len(p.queue) > 0 && len(p.workers) > 0 {
		b, w := &p.queue[0], &p.workers[0]
		arrived := b.time(p.taken)
		start := max(w.free, arrived)
		if start >= to {
			break
		}
		service := p.service
		if p.vary > 0 {
			service *= 1 + p.vary*(2*p.rng.Float64()-1)
		}
		w.free, w.arrived = start+service, arrived
		heap.Fix(&p.workers, 0)
		p.begin(service)
		p.record(start+service-arrived, 1)
		p.last = max(p.last, start+service)
		if p.taken++; p.taken == b.Count {
			p.queue, p.taken = p.queue[1:], 0
		}
		p.waiting--
	}
}

func (p *exactPool) begin(service float64) {
	p.busy += service
	p.worked += service
	p.begun++
}

func (p *exactPool) add(n int, asked, ready float64) {
	for range n {
		heap.Push(&p.workers, worker{asked: asked, ready: ready, free: ready})
	}
}

// remove ends n workers: those that are starting, then, where blind, any; else the idle ones and then those
// that are busy, which finish what they hold.
func (p *exactPool) remove(n int, now float64, blind bool) {
	order := make([]int, len(p.workers))
	for i := range order {
		order[i] = i
	}
	p.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	class := func(w *worker) int {
		switch {
		case w.ready > now:
			return 0
		case blind || w.free <= now:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(order, func(i, j int) int { return class(&p.workers[i]) - class(&p.workers[j]) })
	gone := make(map[int]bool, n)
	for _, i := range order[:min(n, len(order))] {
		gone[i] = true
		p.dismiss(&p.workers[i], now, blind)
	}
	kept := p.workers[:0]
	for i, w := range p.workers {
		if !gone[i] {
			kept = append(kept, w)
		}
	}
	p.workers = kept
	heap.Init(&p.workers)
}

// dismiss bills a worker. Where that is done blindly and it holds an image, the image goes back to the front
// of the queue at once, which is kinder than a lease that has to pass first.
func (p *exactPool) dismiss(w *worker, now float64, blind bool) {
	if w.busy(now) && !blind {
		p.bill(1, w.asked, w.free)
		return
	}
	p.bill(1, w.asked, now)
	if !w.busy(now) {
		return
	}
	p.record(w.free-w.arrived, -1)
	p.lost++
	p.queue = slices.Insert(p.queue, 0, Batch{At: w.arrived, Count: 1}, p.rest())
	p.queue = slices.DeleteFunc(p.queue, func(b Batch) bool { return b.Count == 0 })
	p.waiting++
}

// rest takes what is left of the first batch out of the queue.
func (p *exactPool) rest() Batch {
	if len(p.queue) == 0 || p.taken == 0 {
		return Batch{}
	}
	b := p.queue[0]
	left := Batch{At: b.time(p.taken), Count: b.Count - p.taken}
	if b.Count > 0 {
		left.Over = b.Over * float64(left.Count) / float64(b.Count)
	}
	p.queue, p.taken = p.queue[1:], 0
	return left
}

func (p *exactPool) observe(now float64) observation {
	o := observation{now: now, ready: p.waiting, done: p.begun, worked: p.worked}
	p.begun, p.worked = 0, 0
	for i := range p.workers {
		w := &p.workers[i]
		switch {
		case w.ready > now:
			o.coming = addStarting(o.coming, 1, w.asked)
			continue
		case w.free > now:
			o.busy++
			o.leased++
		default:
			o.idle++
		}
		if !w.known {
			w.known = true
			o.came = append(o.came, w.ready-w.asked)
		}
	}
	return o
}

// addStarting adds workers to those that were asked for at the same time.
func addStarting(list []scale.Starting, n int, asked float64) []scale.Starting {
	when := at(asked)
	for i := range list {
		if list[i].Asked.Equal(when) {
			list[i].Count += n
			return list
		}
	}
	return append(list, scale.Starting{Count: n, Asked: when})
}

package sim

import "slices"

// fluidPool takes images and workers in cohorts.
type fluidPool struct {
	tally
	queue   []cohort
	waiting float64
	groups  []group // in the order in which they were asked for
	now     float64
	flow    float64 // images served in the last step
	step    float64 // its length
	alive   int

	begun, worked float64 // since the last observation
}

// cohort is images that arrive evenly over some seconds, or at once.
type cohort struct{ at, over, images float64 }

// group is a number of workers that were asked for, and will be ready, at one time.
type group struct {
	count        int
	asked, ready float64
	known        bool
}

// queueCohorts bounds the queue: beyond it neighbours are joined.
const queueCohorts = 4096

func (p *fluidPool) enqueue(b Batch) {
	p.waiting += float64(b.Count)
	p.queue = append(p.queue, cohort{b.At, b.Over, float64(b.Count)})
	if len(p.queue) < queueCohorts {
		return
	}
	half := p.queue[:0]
	for i := 0; i+1 < len(p.queue); i += 2 {
		a, b := p.queue[i], p.queue[i+1]
		half = append(half, cohort{a.at, b.at + b.over - a.at, a.images + b.images})
	}
	p.queue = half
}

// advance serves the queue at the capacity that the workers have on average until to.
func (p *fluidPool) advance(to float64) {
	from := p.now
	p.now, p.step, p.flow = to, to-from, 0
	capacity := 0.0
	for i := range p.groups {
		capacity += float64(p.groups[i].count) * max(0, to-max(from, p.groups[i].ready))
	}
	if p.step <= 0 || capacity == 0 {
		return
	}
	rate := capacity / p.service / p.step // images per second
	for clock := from; len(p.queue) > 0 && clock < to; {
		c := &p.queue[0]
		begin := max(clock, c.at)
		n := min(c.images, (to-begin)*rate)
		if n <= 0 {
			break
		}
		end := begin + n/rate
		over := c.over * n / c.images
		p.serve(n, begin-c.at, end-c.at-over, max(end, c.at+over)) // a cohort served faster than it comes waits not at all
		clock = end
		p.waiting -= n
		if n == c.images {
			p.queue = p.queue[1:]
		} else {
			*c = cohort{c.at + over, c.over - over, c.images - n}
		}
	}
	if len(p.queue) == 0 {
		p.waiting = 0
	}
}

// serve records n images, of which the first waited so long and the last so long.
func (p *fluidPool) serve(n, first, last, end float64) {
	const pieces = 4
	for i := range pieces {
		share := (float64(i) + 0.5) / pieces
		p.record(max(0, first+(last-first)*share)+p.service, n/pieces)
	}
	p.busy += n * p.service
	p.worked += n * p.service
	p.begun += n
	p.flow += n
	p.last = max(p.last, end+p.service)
}

func (p *fluidPool) add(n int, asked, ready float64) {
	if n <= 0 {
		return
	}
	if len(p.groups) >= mostGroups {
		p.joinVeterans()
	}
	p.groups = append(p.groups, group{count: n, asked: asked, ready: ready})
}

// mostGroups is the number of groups beyond which those that no longer differ are joined.
const mostGroups = 512

// joinVeterans makes one group of the workers that have been seen alive and are past the least time billed: what
// they cost from then on depends on the sum of their ages alone.
func (p *fluidPool) joinVeterans() {
	var old group
	sum := 0.0
	young := p.groups[:0]
	for _, g := range p.groups {
		if !g.known || g.asked+p.least > p.now {
			young = append(young, g)
			continue
		}
		old.count += g.count
		sum += float64(g.count) * g.asked
		old.ready = max(old.ready, g.ready)
	}
	if old.count > 0 {
		old.asked, old.known = sum/float64(old.count), true
		young = slices.Insert(young, 0, old)
	}
	p.groups = young
}

// remove ends the workers that were asked for last, if they are still starting, and then the oldest.
func (p *fluidPool) remove(n int, now float64, blind bool) {
	busy := 0.0
	if p.alive > 0 && p.step > 0 {
		busy = min(1, p.flow*p.service/p.step/float64(p.alive))
	}
	for i := len(p.groups) - 1; i >= 0 && n > 0; i-- {
		if p.groups[i].ready > now {
			n -= p.cut(i, n, now)
		}
	}
	for i := 0; i < len(p.groups) && n > 0; i++ {
		gone := p.cut(i, n, now)
		n -= gone
		if blind {
			p.lost += int64(float64(gone)*busy + 0.5)
		}
	}
	p.groups = slices.DeleteFunc(p.groups, func(g group) bool { return g.count == 0 })
}

func (p *fluidPool) cut(i, n int, now float64) int {
	g := &p.groups[i]
	gone := min(n, g.count)
	g.count -= gone
	p.bill(gone, g.asked, now)
	return gone
}

func (p *fluidPool) observe(now float64) observation {
	o := observation{now: now, ready: int64(p.waiting + 0.5), done: p.begun, worked: p.worked}
	p.begun, p.worked, p.alive = 0, 0, 0
	for i := range p.groups {
		g := &p.groups[i]
		if g.ready > now {
			o.coming = addStarting(o.coming, g.count, g.asked)
			continue
		}
		p.alive += g.count
		if !g.known {
			g.known = true
			o.came = append(o.came, g.ready-g.asked)
		}
	}
	if p.step > 0 {
		o.busy = min(p.alive, int(p.flow*p.service/p.step+0.5))
	}
	o.idle, o.leased = p.alive-o.busy, int64(o.busy)
	return o
}

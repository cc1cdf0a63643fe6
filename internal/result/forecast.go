package result

import (
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/queue"
)

// Forecaster says how long images take, and hears how long they took; see [scale.Loop].
type Forecaster interface {
	Forecast(images int64) (eta, p90 time.Duration, known bool)
	Came(eta, took time.Duration)
}

// forecast says how long a job will still take.
func (t *Tracker) forecast(job *tracked) (eta, p90 time.Duration, known bool) {
	if t.Forecaster == nil || job.left() == 0 {
		return 0, 0, false
	}
	return t.Forecaster.Forecast(int64(t.before(job)))
}

// before is how many images will be done by the time that the job is, its own included. It plays what the queue does: groups take turns
// image by image in [queue.Lanes] lanes, one that comes is put where least waits, and whoever shares a lane waits for those in front.
func (t *Tracker) before(job *tracked) int {
	var lanes [queue.Lanes]int
	laneOf := make(map[string]int)
	own := 0 // images of the job and of those in front of it, in its lane
	for _, other := range t.open {
		left := other.left()
		if left == 0 {
			continue
		}
		group := other.manifest.Group()
		lane, known := laneOf[group]
		if !known {
			lane = queue.Emptiest(lanes[:])
			laneOf[group] = lane
		}
		lanes[lane] += left
		if other == job {
			own = lanes[lane]
		}
	}
	all := 0
	for _, n := range lanes {
		all += min(n, own)
	}
	return all
}

// LeftOf is how many images of an owner are not done, of the jobs that this tracker knows, in each of the owner's groups.
func (t *Tracker) LeftOf(owner string) (left [ocelli.Turns]int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, job := range t.open {
		if m := &job.manifest; m.Owner == owner && 0 <= m.Turn && m.Turn < len(left) {
			left[m.Turn] += int64(job.left())
		}
	}
	return left
}

// Waiting is how many images of the jobs that this node has accepted and still knows have no result.
func (t *Tracker) Waiting() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, job := range t.open {
		if job.begun && job.settled {
			n += job.left()
		}
	}
	return n
}

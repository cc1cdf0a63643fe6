package natsqueue

import (
	"context"
	"fmt"
	"time"

	"github.com/ocelli/ocelli/internal/queue"
)

// streamState is what the stream says of itself.
type streamState struct {
	Messages int64            `json:"messages"`
	Last     int64            `json:"last_seq"`
	First    time.Time        `json:"first_ts"`
	Subjects map[string]int64 `json:"subjects"` // messages of each lane that has any
	now      time.Time        // by the server's clock
}

// state asks for the state of the stream.
func (q *Queue) state(ctx context.Context, withLanes bool) (streamState, error) {
	var req any
	if withLanes {
		req = map[string]string{"subjects_filter": ">"}
	}
	var resp struct {
		apiError
		State streamState `json:"state"`
		Now   time.Time   `json:"ts"`
	}
	err := q.ask(ctx, "$JS.API.STREAM.INFO."+q.cfg.Name, req, &resp)
	resp.State.now = resp.Now
	return resp.State, err
}

// Stats implements [queue.Queue]. The backlog is what the stream holds, so it forgets nothing. Of that,
// what the consumers have not yet delivered even once is ready; a message whose lease has passed stays
// counted as leased until it is delivered again.
func (q *Queue) Stats(ctx context.Context) (queue.Stats, error) {
	state, err := q.state(ctx, false)
	if err != nil {
		return queue.Stats{}, fmt.Errorf("stats: %w", err)
	}
	var list struct {
		apiError
		Consumers []struct {
			Pending int64 `json:"num_pending"`
		} `json:"consumers"`
	}
	// One answer lists up to 256 consumers, and there is one for each lane.
	if err := q.ask(ctx, "$JS.API.CONSUMER.LIST."+q.cfg.Name, nil, &list); err != nil {
		return queue.Stats{}, fmt.Errorf("stats: %w", err)
	}
	var pending int64
	for _, c := range list.Consumers {
		pending += c.Pending
	}
	ready := min(pending, state.Messages)
	s := queue.Stats{Ready: ready, Leased: state.Messages - ready, Sent: state.Last, Exact: true}
	if state.Messages > 0 {
		s.Oldest = max(state.now.Sub(state.First), 0)
	}
	return s, nil
}

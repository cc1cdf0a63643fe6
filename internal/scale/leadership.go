package scale

import "context"

// Leadership is a seam: one controller at a time. Two that decide side by side would start every worker twice.
//
// It is a lease and no fence: a holder that does not run, because its process was stopped or its machine was
// suspended, acts no more by itself, but may finish the one call that it was in when it runs again.
type Leadership interface {
	// Lead waits until no other process leads, then calls fn, which must run until its context ends. That context
	// ends with ctx, and when this process can no longer be sure that it leads, which is before another can begin to;
	// then, when fn has returned, Lead waits for its turn again. What cannot be reached is tried again for ever, with
	// bounded pauses.
	//
	// When the holder dies another takes over within 10 s. When ctx ends the lead is kept until fn has returned,
	// so that fn can put its things in order, and given up at once after that: another takes over within 3 s.
	//
	// Lead returns nil after ctx has ended, or an error of fn, with which the lead is given up too. A process calls
	// Lead once at a time.
	Lead(ctx context.Context, fn func(ctx context.Context) error) error
}

// Alone is the [Leadership] of a controller that cannot have another beside it: the one whose data folder is locked
// for its process.
type Alone struct{}

// Lead calls fn.
func (Alone) Lead(ctx context.Context, fn func(context.Context) error) error { return fn(ctx) }

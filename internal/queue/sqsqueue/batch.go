package sqsqueue

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/errgroup"
)

const (
	// batchSize is the most entries of one request.
	batchSize = 10

	// entryTries bounds the tries of an entry that SQS could not carry out for a fault of its own.
	entryTries = 4

	// entryPause is the longest pause before the second try; it doubles with each.
	entryPause = 200 * time.Millisecond
)

// failure is what SQS says of one entry of a batch.
type failure struct {
	index         int
	code, message string
	ours          bool // the entry is at fault: it would fail again
}

func (f failure) Error() string { return "SQS answers " + f.code + ": " + f.message }

// failures reads the answer to a batch whose entries have their index for an id.
func failures(entries []types.BatchResultErrorEntry) []failure {
	var all []failure
	for _, e := range entries {
		index, err := strconv.Atoi(aws.ToString(e.Id))
		if err != nil {
			index = -1
		}
		all = append(all, failure{index, aws.ToString(e.Code), aws.ToString(e.Message), e.SenderFault})
	}
	return all
}

// inBatches has the group call with ten items at a time, and again with those that failed for now. An item that failed for good is
// an error of the group.
func inBatches[T any](ctx context.Context, group *errgroup.Group, items []T, call func(context.Context, []T) ([]failure, error)) {
	for batch := range slices.Chunk(items, batchSize) {
		group.Go(func() error { return tryBatch(ctx, batch, call) })
	}
}

func tryBatch[T any](ctx context.Context, batch []T, call func(context.Context, []T) ([]failure, error)) error {
	for try := 1; ; try++ {
		failed, err := call(ctx, batch)
		if err != nil || len(failed) == 0 {
			return err
		}
		var again []T
		var final error
		for _, f := range failed {
			if f.index < 0 || f.index >= len(batch) {
				return fmt.Errorf("SQS speaks of an entry that was not sent: %w", f)
			}
			if f.ours || try == entryTries {
				final = errors.Join(final, f)
			}
			again = append(again, batch[f.index])
		}
		if final != nil {
			return final
		}
		batch = again
		select {
		case <-time.After(rand.N(entryPause << (try - 1))):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

package sqsnotify

import (
	"context"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

const (
	// aliveTag says when the owner of a queue was last well, in seconds of Unix time.
	aliveTag = "ocelli-alive"

	// aliveEvery is how often an owner says so.
	aliveEvery = 10 * time.Minute

	// staleAfter is when a queue is taken for one that nobody owns. It leaves room for clocks that differ.
	staleAfter = time.Hour

	// sweepEvery is how often a process looks for such queues.
	sweepEvery = time.Hour
)

func alive() map[string]string {
	return map[string]string{"ocelli": "notify", aliveTag: strconv.FormatInt(time.Now().Unix(), 10)}
}

func (b *Bus) tellAlive(ctx context.Context, url string) error {
	_, err := b.client.TagQueue(ctx, &sqs.TagQueueInput{QueueUrl: &url, Tags: alive()})
	return err
}

// sweep deletes the queues of owners that are no more, when it is time to look.
func (b *Bus) sweep(ctx context.Context) error {
	b.mu.Lock()
	due := time.Since(b.swept) > sweepEvery
	if due {
		b.swept = time.Now()
	}
	b.mu.Unlock()
	if !due {
		return nil
	}
	urls, err := b.list(ctx, b.all())
	if err != nil {
		return err
	}
	for _, url := range urls {
		tags, err := b.client.ListQueueTags(ctx, &sqs.ListQueueTagsInput{QueueUrl: &url})
		if err != nil {
			continue // it is gone by now, or is looked at next time
		}
		last, err := strconv.ParseInt(tags.Tags[aliveTag], 10, 64)
		if err != nil || time.Since(time.Unix(last, 0)) < staleAfter {
			continue // not a queue of this bus, or one whose owner is well
		}
		if _, err := b.client.DeleteQueue(ctx, &sqs.DeleteQueueInput{QueueUrl: &url}); err != nil && !gone(err) {
			return err
		}
		b.log.Info("deleted the queue of a process that is no more", "queue", url)
	}
	return nil
}

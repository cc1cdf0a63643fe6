package sqsqueue

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// remove deletes the queues of a test: in a real account they would stay.
func (q *Queue) remove(t *testing.T) {
	for _, l := range q.lanes() {
		if _, err := q.client.DeleteQueue(context.Background(), &sqs.DeleteQueueInput{QueueUrl: &l.url}); err != nil {
			t.Errorf("delete queue %s: %v", l.name, err)
		}
	}
}

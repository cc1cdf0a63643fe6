package sqsqueue

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Anybody who may send to the queue can have written a message: it is delivered, as it is, with an id and an attempt.
func FuzzMessage(f *testing.F) {
	f.Add("id", "group", "base64", "aGVsbG8=", "2")
	f.Add("", "", "base64", "not base64", "-1")
	f.Fuzz(func(t *testing.T, id, group, encoding, body, count string) {
		text := func(s string) types.MessageAttributeValue { return types.MessageAttributeValue{StringValue: &s} }
		q := &Queue{lease: time.Minute}
		d := q.decode(lane{}, types.Message{
			MessageId: aws.String("of-the-queue"), Body: &body, ReceiptHandle: aws.String("handle"),
			Attributes:        map[string]string{string(types.MessageSystemAttributeNameApproximateReceiveCount): count},
			MessageAttributes: map[string]types.MessageAttributeValue{idAttribute: text(id), groupAttribute: text(group), encodingAttribute: text(encoding)},
		}, time.Now())
		if d.ID == "" || d.Attempt < 1 || d.Group != group || len(d.Body) > len(body) {
			t.Errorf("delivered as %+v", d)
		}
	})
}

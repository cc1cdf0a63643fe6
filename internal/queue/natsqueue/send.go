package natsqueue

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/ocelli/ocelli/internal/queue"
)

const (
	// window is how many messages of one Send are on their way at a time.
	window = 100

	// atomicFrom is from how many messages on one atomic batch is quicker than messages one by one: a
	// server that syncs always syncs once for a batch.
	atomicFrom = 20
)

// Codes of the JetStream API, from nats-server's errors.json.
const (
	codeAccountResources jetstream.ErrorCode = 10002
	codeNoResources      jetstream.ErrorCode = 10023
	codeNoStorage        jetstream.ErrorCode = 10047
	codeStoreFailed      jetstream.ErrorCode = 10077
)

// Send implements [queue.Queue].
func (q *Queue) Send(ctx context.Context, msgs ...queue.Message) error {
	if err := queue.Check(msgs...); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if len(msgs) > 0 {
		q.count(ctx)
	}
	for part := range slices.Chunk(msgs, window) {
		if err := q.sendPart(ctx, part); err != nil {
			return fmt.Errorf("send %d messages: %w", len(msgs), err)
		}
	}
	return nil
}

func (q *Queue) sendPart(ctx context.Context, msgs []queue.Message) error {
	if len(msgs) >= atomicFrom {
		err := q.sendBatch(ctx, msgs)
		if err == nil || ctx.Err() != nil || errors.Is(err, queue.ErrFull) {
			return err
		}
		// The server refuses a batch with an ID that it knows already, and more than 50 batches at a time.
	}
	if len(msgs) == 1 {
		return q.sendOne(ctx, msgs[0])
	}
	return q.sendEach(ctx, msgs)
}

// sendOne sends a message over the subscription to answers that all requests of the connection share.
func (q *Queue) sendOne(ctx context.Context, m queue.Message) error {
	msg := q.encode(m)
	answer, err := q.request(ctx, msg, msg.Data)
	if err != nil {
		return err
	}
	return stored(answer)
}

// sendEach sends the messages in order without waiting in between, and waits for all answers.
func (q *Queue) sendEach(ctx context.Context, msgs []queue.Message) error {
	in, err := q.listen(len(msgs), 0)
	if err != nil {
		return err
	}
	defer in.close()
	for i, m := range msgs {
		msg := q.encode(m)
		msg.Reply = in.reply(i)
		if err := q.nc.PublishMsg(msg); err != nil {
			return err
		}
	}
	timeout := time.NewTimer(answerTimeout)
	defer timeout.Stop()
	for range msgs {
		answer, err := in.wait(ctx, timeout.C)
		if err != nil {
			return q.explain(ctx, err)
		}
		if err := stored(answer); err != nil {
			return err
		}
	}
	return nil
}

// sendBatch sends the messages as one atomic batch, of which the server answers only the last. See
// https://github.com/nats-io/nats-architecture-and-design/blob/main/adr/ADR-50.md.
func (q *Queue) sendBatch(ctx context.Context, msgs []queue.Message) error {
	id := rand.Text()
	for i, m := range msgs {
		msg := q.encode(m)
		msg.Header.Set("Nats-Batch-Id", id)
		msg.Header.Set("Nats-Batch-Sequence", strconv.Itoa(i+1))
		if i < len(msgs)-1 {
			if err := q.nc.PublishMsg(msg); err != nil {
				return err
			}
			continue
		}
		msg.Header.Set("Nats-Batch-Commit", "1")
		answer, err := q.request(ctx, msg, msg.Data)
		if err != nil {
			return err
		}
		return stored(answer)
	}
	return nil
}

func (q *Queue) encode(m queue.Message) *nats.Msg {
	msg := nats.NewMsg(q.subject(q.board.take(m.Group)))
	msg.Data = m.Body
	msg.Header.Set(nats.MsgIdHdr, m.ID)
	if m.Group != "" {
		msg.Header.Set(groupHeader, m.Group)
	}
	return msg
}

// stored reads the stream's answer to a message.
func stored(answer *nats.Msg) error {
	var ack struct {
		apiError
		Stream string `json:"stream"`
	}
	if status := answer.Header.Get("Status"); status == "503" {
		return nats.ErrNoResponders
	}
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		return fmt.Errorf("read the answer of the message server: %w", err)
	}
	e := ack.Error
	switch {
	case e == nil && ack.Stream == "":
		return fmt.Errorf("the message server gave an answer of no meaning: %q", answer.Data)
	case e == nil:
		return nil
	case e.ErrorCode == codeStoreFailed && strings.Contains(e.Description, "maximum"),
		e.ErrorCode == codeStoreFailed && strings.Contains(e.Description, "no space"),
		e.ErrorCode == codeAccountResources, e.ErrorCode == codeNoStorage, e.ErrorCode == codeNoResources:
		return fmt.Errorf("%w: %s", queue.ErrFull, e.Description)
	}
	return e
}

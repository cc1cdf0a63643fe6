package ec2fleet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

// noticeEvery is how often EC2 advises to look.
const noticeEvery = 5 * time.Second

// noticePath is that of the notice in the instance's metadata; nothing is there until a spot instance is about to be taken back, two
// minutes before (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/spot-instance-termination-notices.html).
const noticePath = "spot/instance-action"

// ErrTakenBack is the cause of a context of [WatchNotice] that ended with a notice.
var ErrTakenBack = errors.New("EC2 takes this spot instance back within two minutes")

// WatchNotice is called by a worker on a spot instance: the context it returns ends with [ErrTakenBack] when EC2 has
// announced that it takes the instance back, and with ctx. Where the metadata cannot be read it keeps trying. stop ends the watch.
func WatchNotice(ctx context.Context, log *slog.Logger) (watched context.Context, stop context.CancelFunc, err error) {
	loaded, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("read the AWS settings of this machine: %w", err)
	}
	client := imds.NewFromConfig(loaded)
	watched, cancel := context.WithCancelCause(ctx)
	go func() {
		failing := false
		for {
			announced, err := noticed(watched, client)
			if watched.Err() != nil {
				return
			}
			if announced {
				log.Warn("EC2 takes this spot instance back: the worker finishes what it holds and ends")
				cancel(ErrTakenBack)
				return
			}
			if err != nil && !failing {
				log.Warn("cannot see whether EC2 takes this instance back; trying again", "err", err)
			}
			failing = err != nil
			select {
			case <-watched.Done():
				return
			case <-time.After(noticeEvery):
			}
		}
	}()
	return watched, func() { cancel(context.Canceled) }, nil
}

// noticed looks once.
func noticed(ctx context.Context, client *imds.Client) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, noticeEvery)
	defer cancel()
	out, err := client.GetMetadata(ctx, &imds.GetMetadataInput{Path: noticePath})
	var answer *awshttp.ResponseError
	switch {
	case errors.As(err, &answer) && answer.HTTPStatusCode() == http.StatusNotFound:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("read the instance's metadata: %w", err)
	}
	_, err = io.Copy(io.Discard, io.LimitReader(out.Content, 1<<10))
	return true, errors.Join(err, out.Content.Close())
}

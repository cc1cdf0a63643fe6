package main

import (
	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/natsconn"
	"github.com/ocelli/ocelli/internal/natsembed"
	"github.com/ocelli/ocelli/internal/queue/natsqueue"
)

// natsSeedEnv is the environment variable with the key of a worker; see [natsconn.FromEnv].
const natsSeedEnv = "OCELLI_NATS_SEED"

// newWorkerKey makes the key of the workers of one run, and what it opens: workers read bytes of strangers, so a broken-in one must find
// little to do. It can take images from the queue and tell of their results, and neither send nor drop images, hear what others are
// told, nor touch anything else of the broker.
func newWorkerKey(stream string) (seed string, limits *natsembed.Limited, err error) {
	seed, public, err := natsconn.NewSeed()
	if err != nil {
		return "", nil, err
	}
	return seed, &natsembed.Limited{
		Key:       public,
		Publish:   append(natsqueue.ReceiverSubjects(stream), stream+".result.*", stream+"."+fleet.Topic),
		Subscribe: []string{natsconn.InboxOf(public) + ".>"},
	}, nil
}

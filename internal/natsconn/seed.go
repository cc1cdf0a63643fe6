package natsconn

import (
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// NewSeed makes a key for a client that is to connect with as few rights as it needs: the secret that the client is given, and the public half
// that the server is told.
func NewSeed() (seed, public string, err error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return "", "", fmt.Errorf("making a key: %w", err)
	}
	defer pair.Wipe()
	secret, err := pair.Seed()
	if err != nil {
		return "", "", fmt.Errorf("making a key: %w", err)
	}
	public, err = pair.PublicKey()
	return string(secret), public, err
}

// Inbox is the prefix of the subjects on which a client with the seed hears answers: its own, so that it need not be allowed to hear
// those of others.
func Inbox(seed string) (string, error) {
	pair, err := nkeys.FromSeed([]byte(seed))
	if err != nil {
		return "", errors.New("OCELLI_NATS_SEED is not the seed of an NKEY")
	}
	defer pair.Wipe()
	public, err := pair.PublicKey()
	if err != nil {
		return "", errors.New("OCELLI_NATS_SEED is not the seed of an NKEY")
	}
	return InboxOf(public), nil
}

// InboxOf is [Inbox] by the public half of the key.
func InboxOf(public string) string { return "_INBOX_" + public }

// bySeed makes a connection prove that it holds the seed, which was validated before, and keep to its own inbox.
func bySeed(seed string) []nats.Option {
	inbox, err := Inbox(seed)
	if err != nil {
		return nil
	}
	public := inbox[len(InboxOf("")):]
	sign := func(nonce []byte) ([]byte, error) {
		pair, err := nkeys.FromSeed([]byte(seed))
		if err != nil {
			return nil, err
		}
		defer pair.Wipe()
		return pair.Sign(nonce)
	}
	return []nats.Option{nats.Nkey(public, sign), nats.CustomInboxPrefix(inbox)}
}

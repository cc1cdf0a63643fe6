package blob

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
)

// identityKey holds the identity of a store.
const identityKey = "store"

// Identity returns a name that a store is given when it is first asked and keeps ever after. It tells one store from
// another: a worker that was pointed at the wrong one finds out before it takes missing images for deleted ones.
func Identity(ctx context.Context, s Store) (string, error) {
	if _, err := s.Create(ctx, identityKey, []byte(rand.Text())); err != nil {
		return "", fmt.Errorf("marking the store: %w", err)
	}
	r, err := s.Open(ctx, identityKey)
	if err != nil {
		return "", fmt.Errorf("reading the mark of the store: %w", err)
	}
	defer r.Close()
	name, err := io.ReadAll(io.LimitReader(r, 100))
	if err != nil {
		return "", fmt.Errorf("reading the mark of the store: %w", err)
	}
	return string(name), nil
}

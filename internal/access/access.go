// Package access says who may do what over HTTP: API keys with scopes, limits and owners, sign-in for browsers by the same keys,
// and the guard that stands before every address of a node.
//
// Who asks travels in the context of a request. A context without a [Caller] belongs to the service itself, or to a node whose
// guard is off, and may see everything.
package access

import (
	"context"
	"slices"
	"time"

	"github.com/ocelli/ocelli"
)

// Scope is something that a key allows.
type Scope string

// The scopes. Each stands alone, save that Admin includes the others.
const (
	Submit Scope = "submit" // send images; cancel, repeat and delete what is one's own
	Read   Scope = "read"   // see what is one's own, and how the service as a whole is doing
	Admin  Scope = "admin"  // do both with what belongs to others, too
)

// Scopes are all scopes there are.
var Scopes = []Scope{Submit, Read, Admin}

// Caller is who makes a request.
type Caller struct {
	Key    *Key
	spend  func(images int64) error
	refund func(images int64, since time.Time)
}

// May reports whether the caller's key allows what the scope stands for.
func (c *Caller) May(s Scope) bool {
	return slices.Contains(c.Key.Scopes, s) || slices.Contains(c.Key.Scopes, Admin)
}

type contextKey struct{}

// With returns a context of a request that c makes.
func With(ctx context.Context, c *Caller) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// From returns who makes the request of ctx, and nil where nobody was asked.
func From(ctx context.Context) *Caller {
	c, _ := ctx.Value(contextKey{}).(*Caller)
	return c
}

// Owner is to whom a job that is accepted under ctx belongs: "" where nobody was asked.
func Owner(ctx context.Context) string {
	if c := From(ctx); c != nil {
		return c.Key.Owner
	}
	return ""
}

// MaySee reports whether a job of the owner exists for whoever asks under ctx. What was accepted while nobody was asked belongs
// to administrators.
func MaySee(ctx context.Context, owner string) bool {
	c := From(ctx)
	return c == nil || c.May(Admin) || owner != "" && c.Key.Owner == owner
}

// Spend counts images that are being accepted against what the caller's key may send in a day. The error is an [ocelli.Error] with
// code QuotaUsed; then none of them is counted.
func Spend(ctx context.Context, images int64) error {
	if c := From(ctx); c != nil && c.spend != nil {
		return c.spend(images)
	}
	return nil
}

// Refund gives images back that were counted at some time since, and were not accepted after all. A day that has begun in the meantime knows
// nothing of them.
func Refund(ctx context.Context, images int64, since time.Time) {
	if c := From(ctx); c != nil && c.refund != nil {
		c.refund(images, since)
	}
}

// errNoKey is the answer to a request without a key that is valid. It does not say whether there is, or was, such a key.
func errNoKey() error {
	return ocelli.Errorf(ocelli.Unauthorized, "this service needs an API key that is valid: send it as `Authorization: Bearer KEY`, or sign in at /sign-in")
}

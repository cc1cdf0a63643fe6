package access

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// prefix begins every API key, so that people and secret scanners know one when they see it.
const prefix = "ock_"

// Key is what is kept of an API key. The key itself is not: 256 random bits cannot be guessed, so one pass of SHA-256 hides it as
// well as a slow password hash would, and costs a request nothing.
type Key struct {
	ID       string     `json:"id"`             // public: names the key in lists and logs; the access key id of AWS clients
	SHA256   string     `json:"sha256"`         // of the whole key, hexadecimal
	Label    string     `json:"label"`          // what people call it
	Owner    string     `json:"owner"`          // whose jobs these are; keys of one owner see the same jobs
	Scopes   []Scope    `json:"scopes"`         //
	Rate     float64    `json:"requests_per_s"` // on average; 0 is no limit
	Quota    int64      `json:"images_per_day"` // of a day in UTC; 0 is no limit
	Created  time.Time  `json:"created"`        //
	Expires  *time.Time `json:"expires"`        // nil is never
	Disabled bool       `json:"disabled"`       // for good, or until somebody edits the file
}

// encoding is base 32 without padding: upper-case letters and digits, as AWS writes its access key ids.
var encoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewKey completes k, whose label, owner, scopes and limits are set, and returns the key itself, which is shown once.
func NewKey(k Key, now time.Time) (Key, string) {
	var secret [32]byte
	_, _ = rand.Read(secret[:]) // never fails: crypto/rand
	text := prefix + strings.ToLower(encoding.EncodeToString(secret[:]))
	sum := sha256.Sum256([]byte(text))
	k.SHA256 = hex.EncodeToString(sum[:])
	// Part of the hash of a secret that cannot be guessed tells nothing about it. 85 bits are enough for names.
	k.ID = "OCK" + encoding.EncodeToString(sum[:])[:17]
	if k.Owner == "" {
		k.Owner = k.ID
	}
	k.Created = now.UTC().Truncate(time.Second)
	return k, text
}

// Active reports whether the key opens anything at the time.
func (k *Key) Active(now time.Time) bool {
	return !k.Disabled && (k.Expires == nil || now.Before(*k.Expires))
}

// State is "active", "expired" or "revoked".
func (k *Key) State(now time.Time) string {
	switch {
	case k.Disabled:
		return "revoked"
	case !k.Active(now):
		return "expired"
	}
	return "active"
}

var ownerForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)

// Validate reports all that is wrong with a key that is to be created or was read.
func (k *Key) Validate() error {
	var errs []error
	for _, s := range k.Scopes {
		if !slices.Contains(Scopes, s) {
			errs = append(errs, fmt.Errorf("the scope %q is not known: choose of submit, read and admin", s))
		}
	}
	if len(k.Scopes) == 0 {
		errs = append(errs, errors.New("a key without a scope opens nothing: choose of submit, read and admin"))
	}
	if k.Owner != "" && !ownerForm.MatchString(k.Owner) {
		errs = append(errs, fmt.Errorf("the owner %.100q is not possible: use up to 100 letters, digits, and . _ -", k.Owner))
	}
	if len(k.Label) > 200 {
		errs = append(errs, errors.New("the label is too long: use 200 bytes at most"))
	}
	if k.Rate < 0 || k.Rate > 1e6 {
		errs = append(errs, fmt.Errorf("%g requests per second are not possible: give 0, for no limit, to 1000000", k.Rate))
	}
	if k.Quota < 0 {
		errs = append(errs, fmt.Errorf("%d images per day are not possible: give 0, for no limit, or more", k.Quota))
	}
	return errors.Join(errs...)
}

// signingSecret derives the secret access key of an AWS client from the secret of the installation. A signature (SigV4) can only be
// checked by who knows the secret, so a hash would not do; derived, none is stored per key.
func signingSecret(master []byte, id string) string {
	return base64.RawURLEncoding.EncodeToString(seal(master, "aws-sigv4", id))
}

// seal is the HMAC of the text for one purpose.
func seal(master []byte, purpose, text string) []byte {
	mac := hmac.New(sha256.New, master)
	mac.Write([]byte(purpose + "\x00" + text))
	return mac.Sum(nil)
}

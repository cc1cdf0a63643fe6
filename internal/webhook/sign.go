package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Secrets are the keys that messages are signed with. Where there are several, each message carries a signature of each, so that
// receivers can be given a new one before the old one is taken away.
type Secrets [][]byte

const (
	secretPrefix = "whsec_"
	leastSecret  = 24 // bytes, as the scheme says
	mostSecret   = 64
)

// ParseSecrets reads secrets as the Standard Webhooks scheme writes them, "whsec_" and base64, separated by spaces.
// No text gives none.
func ParseSecrets(text string) (Secrets, error) {
	var all Secrets
	for _, word := range strings.Fields(text) {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(word, secretPrefix))
		if err != nil || !strings.HasPrefix(word, secretPrefix) || len(key) < leastSecret || len(key) > mostSecret {
			return nil, errors.New("a secret is whsec_ and the base64 of 24 to 64 random bytes: make one with echo whsec_$(openssl rand -base64 32)")
		}
		all = append(all, key)
	}
	return all, nil
}

// sign sets the headers of a message (https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md).
func (s Secrets) sign(h http.Header, id string, at time.Time, body []byte) {
	timestamp := strconv.FormatInt(at.Unix(), 10)
	var signatures []string
	for _, key := range s {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", timestamp)
	h.Set("webhook-signature", strings.Join(signatures, " "))
}

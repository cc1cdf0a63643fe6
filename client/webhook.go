package client

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/ocelli/ocelli"
)

// webhookAge is how old a message may be: an older one may have been recorded and sent again by somebody else.
const webhookAge = 5 * time.Minute

// VerifyWebhook returns the event of a webhook that was received with header and body, if it was signed with the secret
// ("whsec_…") and not long ago. The same event can come more than once: its "webhook-id" tells.
// See https://www.standardwebhooks.com.
func VerifyWebhook(header http.Header, body []byte, secret string) (*ocelli.Event, error) {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return nil, errors.New("the secret of a webhook is whsec_ and base64")
	}
	timestamp := header.Get("webhook-timestamp")
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > webhookAge {
		return nil, fmt.Errorf("a webhook of the time %.40q is not of now", timestamp)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(header.Get("webhook-id") + "." + timestamp + "."))
	mac.Write(body)
	want := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	for signature := range strings.FieldsSeq(header.Get("webhook-signature")) {
		if hmac.Equal([]byte(signature), want) {
			var event ocelli.Event
			if err := json.Unmarshal(body, &event); err != nil {
				return nil, fmt.Errorf("reading a webhook: %w", err)
			}
			return &event, nil
		}
	}
	return nil, errors.New("a webhook is not signed with this secret")
}

package webhook

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// The example of the scheme's first implementation (https://docs.svix.com/receiving/verifying-payloads/how-manual).
func TestSignature(t *testing.T) {
	secrets, err := ParseSecrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_" + strings.Repeat("QUJD", 10))
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	secrets.sign(h, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	signatures := strings.Fields(h.Get("webhook-signature"))
	if len(signatures) != 2 || signatures[0] != "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=" {
		t.Errorf("got %v", signatures)
	}
	if h.Get("webhook-id") != "msg_p5jXN8AQM9LWM0D4loKWxJek" || h.Get("webhook-timestamp") != "1614265330" {
		t.Errorf("got %v", h)
	}
}

func TestParseSecrets(t *testing.T) {
	for _, bad := range []string{"secret", "whsec_", "whsec_!!!", "whsec_QUJD", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + strings.Repeat("QUJD", 30)} {
		if _, err := ParseSecrets(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if none, err := ParseSecrets(" "); err != nil || len(none) != 0 {
		t.Errorf("got %v, %v", none, err)
	}
}

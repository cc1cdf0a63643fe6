package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/pflag"

	"github.com/ocelli/ocelli/internal/fetch"
	"github.com/ocelli/ocelli/internal/result"
	"github.com/ocelli/ocelli/internal/webhook"
)

// policy is a flag that says which other servers may be asked.
type policy struct {
	fetch.Policy
	text string
}

func (p *policy) String() string { return p.text }
func (p *policy) Type() string   { return "none|public|LIST" }

func (p *policy) Set(text string) (err error) {
	p.Policy, err = fetch.ParsePolicy(text)
	p.text = text
	return err
}

// webhookSecretEnv is the environment variable with the secrets that webhooks are signed with; see [webhook.ParseSecrets]. No flag: the
// command lines of processes can be seen by others.
const webhookSecretEnv = "OCELLI_WEBHOOK_SECRET"

// outwardSettings say whom a web node asks of its own accord.
type outwardSettings struct {
	fetch, webhooks policy
	buckets         []string
}

func (s *outwardSettings) register(f *pflag.FlagSet) {
	_ = s.fetch.Set("public") // is one
	_ = s.webhooks.Set("public")
	f.Var(&s.fetch, "fetch", "from where images are fetched that are sent as URLs: none, public, or `LIST` of hosts and networks")
	f.StringArrayVar(&s.buckets, "open-bucket", nil, "`URL` of a bucket whose images clients of Rekognition may name: s3://BUCKET/PREFIX?region=REGION; may be repeated")
	f.Var(&s.webhooks, "webhooks", "who may be told of ended jobs, signed with "+webhookSecretEnv+": none, public, or `LIST` of hosts and networks")
}

func (s *outwardSettings) problems() []error {
	if _, err := webhook.ParseSecrets(os.Getenv(webhookSecretEnv)); err != nil {
		return []error{fmt.Errorf("%s: %w", webhookSecretEnv, err)}
	}
	return nil
}

// sender returns the part of a node that tells of ended jobs.
func (s *outwardSettings) sender(b *backends, results *result.Store, tracker *result.Tracker, log *slog.Logger) *webhook.Sender {
	secrets, _ := webhook.ParseSecrets(os.Getenv(webhookSecretEnv)) // checked with the other settings
	_ = os.Unsetenv(webhookSecretEnv)                               // workers, which read what strangers sent, need not have it
	sender := &webhook.Sender{
		Blobs: b.blobs, Results: results, Tracker: tracker,
		Policy: s.webhooks.Policy, Client: webhook.NewClient(s.webhooks.Policy), Secrets: secrets, Log: log,
	}
	tracker.Ended = sender.Ended
	return sender
}

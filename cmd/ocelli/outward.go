package main

import (
	"github.com/spf13/pflag"

	"github.com/ocelli/ocelli/internal/fetch"
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

// outwardSettings say whom a web node asks of its own accord.
type outwardSettings struct {
	fetch   policy
	buckets []string
}

func (s *outwardSettings) register(f *pflag.FlagSet) {
	_ = s.fetch.Set("public")
	f.Var(&s.fetch, "fetch", "from where images are fetched that are sent as URLs: none, public, or `LIST` of hosts and networks")
	f.StringArrayVar(&s.buckets, "open-bucket", nil, "`URL` of a bucket whose images clients of Rekognition may name: s3://BUCKET/PREFIX?region=REGION; may be repeated")
}

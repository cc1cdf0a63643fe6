package main

import (
	"github.com/spf13/pflag"

	"github.com/ocelli/ocelli/client"
)

// defaultServer is where `ocelli up` listens unless it is told otherwise.
const defaultServer = "http://" + defaultListen

// serverSettings say which service a command talks to.
type serverSettings struct{ url, key string }

func (s *serverSettings) register(f *pflag.FlagSet) {
	f.StringVar(&s.url, "server", defaultServer, "`URL` of the service")
	s.registerKey(f)
}

func (s *serverSettings) registerKey(f *pflag.FlagSet) {
	f.StringVar(&s.key, "key", "", "API `KEY` of the service; better given as OCELLI_KEY, which other users of this machine cannot see")
}

func (s *serverSettings) client(options ...client.Option) (*client.Client, error) {
	c, err := client.New(s.url, append(options, client.WithKey(s.key))...)
	if err != nil {
		return nil, usageError{err}
	}
	return c, nil
}

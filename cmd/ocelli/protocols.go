package main

import (
	"context"
	"net/http"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/oip"
	"github.com/ocelli/ocelli/internal/rekognition"
)

// jsonMemory bounds what images that come inside of JSON take up.
const jsonMemory = 256 << 20

// mountProtocols adds what clients of other services speak. Requests to "/" that are none of Rekognition go to
// pages. guard is nil where everybody may come in.
func (n *node) mountProtocols(mux *http.ServeMux, pages http.Handler, ready func(context.Context) error, s nodeSettings, guard *access.Guard) {
	memory := intake.NewMemory(jsonMemory)
	signed := rekognition.Config{Intake: n.intake, Memory: memory, Log: n.log}
	if guard != nil {
		signed.Secrets, signed.Admit = guard.SigningSecret, guard.Admit
	}
	mux.Handle("POST /{$}", rekognition.New(signed, pages))
	inference := oip.New(oip.Config{
		Intake: n.intake, Memory: memory, Model: n.knownModel, Ready: ready, RequestBytes: int64(s.maxRequest), Log: n.log,
	})
	mux.Handle("/v2", inference)
	mux.Handle("/v2/", inference)
}

// knownModel is the model of this node's own workers, or the one that workers elsewhere have told of; nil while there is none.
func (n *node) knownModel() *ocelli.Model {
	if n.model != nil {
		return n.model
	}
	for _, r := range n.roster.Reports() {
		if r.Model != "" {
			return &ocelli.Model{Name: r.Model}
		}
	}
	return nil
}

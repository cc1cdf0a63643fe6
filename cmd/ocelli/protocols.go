package main

import (
	"net/http"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/api"
	"github.com/ocelli/ocelli/internal/oip"
	"github.com/ocelli/ocelli/internal/openapi"
	"github.com/ocelli/ocelli/internal/rekognition"
)

// jsonMemory bounds what images and lists of addresses take up that come as JSON.
const jsonMemory = 256 << 20

// mountPrograms adds what programs ask for, and returns its description.
func (n *node) mountPrograms(mux *http.ServeMux, a *api.API, s nodeSettings) *openapi.Document {
	inference := &oip.Service{
		Intake: n.intake, Memory: n.intake.Memory, Model: n.knownModel, Ready: a.Ready, RequestBytes: int64(s.maxRequest), Log: n.log,
	}
	mux.HandleFunc("/v2/", inference.Missing)
	metrics := openapi.Route{
		Method: "GET", Path: "/metrics", Tag: "Service", Summary: "Measurements for Prometheus", Handle: n.metrics.Handler().ServeHTTP,
		Answers: []openapi.Answer{{Status: http.StatusOK, Detail: "In the text format", Type: "text/plain", Schema: &openapi.Schema{Type: "string"}}},
	}
	return a.Register(mux, openapi.Part{Routes: inference.Routes(), Source: oip.Source}, openapi.Part{Routes: []openapi.Route{metrics}})
}

// mountRekognition adds what clients of Amazon's service speak. Requests to "/" that are none of it go to pages. guard is nil where
// everybody may come in.
func (n *node) mountRekognition(mux *http.ServeMux, pages http.Handler, objects objectOpener, guard *access.Guard) {
	signed := rekognition.Config{Intake: n.intake, Memory: n.intake.Memory, Objects: objects, Log: n.log}
	if guard != nil {
		signed.Secrets, signed.Admit = guard.SigningSecret, guard.Admit
	}
	mux.Handle("POST /{$}", rekognition.New(signed, pages))
}

// knownModel is the model of this node's own workers, or the one that workers elsewhere have told of; nil while there is none.
func (n *node) knownModel() *ocelli.Model {
	if n.model != nil {
		return n.model
	}
	for _, r := range n.roster.Reports() {
		if r.Model != nil {
			return r.Model
		}
	}
	return nil
}

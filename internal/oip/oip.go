// Package oip answers the Open Inference Protocol, version 2, over HTTP: the protocol of KServe and of the Triton Inference Server, so
// that their clients work here. The one input of the model is "image", a BYTES tensor of encoded pictures of any size and format.
//
// Specification: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md. Of Triton's
// extensions it knows binary tensor data, classification, and the index of the model repository
// (https://github.com/triton-inference-server/server/tree/main/docs/protocol).
package oip

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/intake"
)

// Alias is a name by which the model can be called whatever it is.
const Alias = "default"

// platform is the framework and the format of models, as Triton names them.
const platform = "onnxruntime_onnx"

// Service answers requests. Its fields are set before [Service.Routes]; all of them are needed.
type Service struct {
	Intake       *intake.Intake
	Memory       *intake.Memory
	Model        func() *ocelli.Model // nil while it is not known; its SHA256 may be empty
	Ready        func(context.Context) error
	RequestBytes int64 // of one request with binary tensors
	Log          *slog.Logger
}

// Missing answers requests to addresses under /v2 that there are not.
func (s *Service) Missing(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, ocelli.Errorf(ocelli.NotFound, "there is nothing at %s %.100s", r.Method, r.URL.Path))
}

// serverMetadata is $metadata_server_response.
type serverMetadata struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

func (s *Service) server(w http.ResponseWriter, _ *http.Request) error {
	answer(w, http.StatusOK, serverMetadata{Name: "ocelli", Version: ocelli.Version(), Extensions: []string{"binary_tensor_data", "classification"}})
	return nil
}

// alive is $live_server_response.
type alive struct {
	Live bool `json:"live"`
}

// health is $ready_server_response.
type health struct {
	Live  bool `json:"live"`
	Ready bool `json:"ready"` // whether images can be taken
}

func (s *Service) live(w http.ResponseWriter, _ *http.Request) error {
	answer(w, http.StatusOK, alive{true})
	return nil
}

func (s *Service) ready(w http.ResponseWriter, r *http.Request) error {
	if s.Ready(r.Context()) != nil {
		answer(w, http.StatusServiceUnavailable, health{Live: true})
		return nil
	}
	answer(w, http.StatusOK, health{Live: true, Ready: true})
	return nil
}

// find returns the model that a request names, and an error where there is no such model or version.
func (s *Service) find(r *http.Request) (name, version string, err error) {
	m := s.Model()
	name = r.PathValue("model")
	if name != Alias && (m == nil || name != m.Name) {
		known := Alias
		if m != nil {
			known = m.Name + " or " + Alias
		}
		return "", "", ocelli.Errorf(ocelli.NotFound, "there is no model %.80q: call it %s", name, known)
	}
	if m != nil {
		version = versionOf(m)
	}
	if v := r.PathValue("version"); v != "" && v != version {
		return "", "", ocelli.Errorf(ocelli.NotFound, "the model has no version %.80q: leave the version out", v)
	}
	return name, version, nil
}

// versionOf is the beginning of the digest of the model's file.
func versionOf(m *ocelli.Model) string { return m.SHA256[:min(12, len(m.SHA256))] }

// modelMetadata is $metadata_model_response.
type modelMetadata struct {
	Name     string   `json:"name"`
	Versions []string `json:"versions,omitempty"`
	Platform string   `json:"platform"`
	Inputs   []shape  `json:"inputs"`
	Outputs  []shape  `json:"outputs"`
}

// shape is $metadata_tensor.
type shape struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape"`
}

func (s *Service) model(w http.ResponseWriter, r *http.Request) error {
	name, version, err := s.find(r)
	if err != nil {
		return err
	}
	m := modelMetadata{Name: name, Platform: platform, Inputs: []shape{{inputName, datatypeBytes, []int{-1}}}}
	if version != "" {
		m.Versions = []string{version}
	}
	for _, o := range outputs {
		m.Outputs = append(m.Outputs, shape{o.name, o.datatype, o.shape})
	}
	answer(w, http.StatusOK, m)
	return nil
}

// modelHealth is $ready_model_response.
type modelHealth struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
}

func (s *Service) modelReady(w http.ResponseWriter, r *http.Request) error {
	name, _, err := s.find(r)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if s.Ready(r.Context()) != nil {
		status = http.StatusServiceUnavailable
	}
	answer(w, status, modelHealth{name, status == http.StatusOK})
	return nil
}

// indexEntry is a model of $repository_index_response.
type indexEntry struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
}

// index lists the model. What it is asked for in a body, all models or those that are ready, is the same.
func (s *Service) index(w http.ResponseWriter, _ *http.Request) error {
	entry := indexEntry{Name: Alias, State: "READY"}
	if m := s.Model(); m != nil {
		entry.Name, entry.Version = m.Name, versionOf(m)
	}
	answer(w, http.StatusOK, []indexEntry{entry})
	return nil
}

// failure is $inference_response_error and the like.
type failure struct {
	Error string `json:"error"` // one clear sentence
}

// fail answers with the error that the protocol knows. What is not an [ocelli.Error] is the service's own fault: it is logged, and its
// text is not shown.
func (s *Service) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := ocelli.AsError(err)
	if e == nil {
		if r.Context().Err() != nil {
			return // the client has gone
		}
		s.Log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
		e = ocelli.Errorf(ocelli.Unavailable, "the service could not do this just now: try again, and look into its log if that does not help")
	}
	status := e.Code.HTTPStatus()
	if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	answer(w, status, failure{e.Message})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the only error left is that the client has gone
}

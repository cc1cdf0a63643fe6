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

// Config is what the service stands on. All of it is needed.
type Config struct {
	Intake       *intake.Intake
	Memory       *intake.Memory
	Model        func() *ocelli.Model // nil while it is not known; its SHA256 may be empty
	Ready        func(context.Context) error
	RequestBytes int64 // of one request with binary tensors
	Log          *slog.Logger
}

// service answers requests. Its methods may be called from any number of goroutines.
type service struct{ Config }

// New returns a handler of all addresses under /v2.
func New(c Config) http.Handler {
	s := &service{c}
	mux := http.NewServeMux()
	handle := func(pattern string, h func(http.ResponseWriter, *http.Request) error) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := h(w, r); err != nil {
				s.fail(w, r, err)
			}
		})
	}
	handle("GET /v2", s.server)
	handle("GET /v2/{$}", s.server)
	handle("GET /v2/health/live", s.live)
	handle("GET /v2/health/ready", s.ready)
	for _, model := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		handle("GET "+model, s.model)
		handle("GET "+model+"/ready", s.modelReady)
		handle("POST "+model+"/infer", s.infer)
	}
	handle("GET /v2/repository/index", s.index)
	handle("POST /v2/repository/index", s.index)
	handle("/", func(_ http.ResponseWriter, r *http.Request) error {
		return ocelli.Errorf(ocelli.NotFound, "there is nothing at %s %.100s", r.Method, r.URL.Path)
	})
	return mux
}

type serverMetadata struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

func (s *service) server(w http.ResponseWriter, _ *http.Request) error {
	answer(w, http.StatusOK, serverMetadata{Name: "ocelli", Version: ocelli.Version(), Extensions: []string{"binary_tensor_data", "classification"}})
	return nil
}

type health struct {
	Live  bool `json:"live"`
	Ready bool `json:"ready"`
}

func (s *service) live(w http.ResponseWriter, _ *http.Request) error {
	answer(w, http.StatusOK, map[string]bool{"live": true})
	return nil
}

func (s *service) ready(w http.ResponseWriter, r *http.Request) error {
	if s.Ready(r.Context()) != nil {
		answer(w, http.StatusServiceUnavailable, health{Live: true})
		return nil
	}
	answer(w, http.StatusOK, health{Live: true, Ready: true})
	return nil
}

// find returns the model that a request names, and an error where there is no such model or version.
func (s *service) find(r *http.Request) (name, version string, err error) {
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

type modelMetadata struct {
	Name     string   `json:"name"`
	Versions []string `json:"versions,omitempty"`
	Platform string   `json:"platform"`
	Inputs   []shape  `json:"inputs"`
	Outputs  []shape  `json:"outputs"`
}

type shape struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape"`
}

func (s *service) model(w http.ResponseWriter, r *http.Request) error {
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

func (s *service) modelReady(w http.ResponseWriter, r *http.Request) error {
	name, _, err := s.find(r)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if s.Ready(r.Context()) != nil {
		status = http.StatusServiceUnavailable
	}
	answer(w, status, map[string]any{"name": name, "ready": status == http.StatusOK})
	return nil
}

type indexEntry struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	State   string `json:"state"`
	Reason  string `json:"reason"`
}

// index lists the model. What it is asked for in a body, all models or those that are ready, is the same.
func (s *service) index(w http.ResponseWriter, _ *http.Request) error {
	entry := indexEntry{Name: Alias, State: "READY"}
	if m := s.Model(); m != nil {
		entry.Name, entry.Version = m.Name, versionOf(m)
	}
	answer(w, http.StatusOK, []indexEntry{entry})
	return nil
}

// fail answers with the error that the protocol knows. What is not an [ocelli.Error] is the service's own fault: it is logged, and its
// text is not shown.
func (s *service) fail(w http.ResponseWriter, r *http.Request, err error) {
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
	answer(w, status, map[string]string{"error": e.Message})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the only error left is that the client has gone
}

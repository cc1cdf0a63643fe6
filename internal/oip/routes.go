package oip

import (
	"embed"
	"net/http"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/openapi"
)

// Source is the Go source of what is sent and answered: the description of the HTTP API is made of the comments in it.
//
//go:embed oip.go request.go infer.go
var Source embed.FS

const jsonType = "application/json"

// Routes returns the addresses of the protocol: their handlers and their description.
func (s *Service) Routes() []openapi.Route {
	routes := []openapi.Route{
		s.route("GET", "/v2", "What the server is", s.server, http.StatusOK, serverMetadata{}),
		s.route("GET", "/v2/health/live", "Whether the server is alive", s.live, http.StatusOK, alive{}),
		s.route("GET", "/v2/health/ready", "Whether the server can take requests", s.ready, http.StatusOK, health{}),
		s.route("GET", "/v2/repository/index", "The models of the server", s.index, http.StatusOK, []indexEntry{}),
		s.route("POST", "/v2/repository/index", "The models of the server", s.index, http.StatusOK, []indexEntry{}),
	}
	for _, path := range []string{"/v2/models/{model}", "/v2/models/{model}/versions/{version}"} {
		params := []openapi.Parameter{openapi.PathParam("model", "the model's name, or "+Alias, &openapi.Schema{Type: "string", Pattern: "^[A-Za-z0-9_.-]{1,80}$", Examples: []any{Alias}})}
		if path != "/v2/models/{model}" {
			params = append(params, openapi.PathParam("version", "its version", &openapi.Schema{Type: "string", Pattern: "^[0-9a-f]{12}$"}))
		}
		metadata := s.route("GET", path, "Inputs and outputs of a model", s.model, http.StatusOK, modelMetadata{}, ocelli.NotFound)
		ready := s.route("GET", path+"/ready", "Whether a model can take requests", s.modelReady, http.StatusOK, modelHealth{}, ocelli.NotFound)
		infer := s.route("POST", path+"/infer", "The labels of a batch of images", s.infer, http.StatusOK, response{}, ocelli.NotFound, ocelli.BadRequest, ocelli.TooLarge,
			ocelli.UnsupportedType, ocelli.CorruptImage, ocelli.Cancelled, ocelli.GaveUp, ocelli.StorageFull)
		infer.Detail = "A request fails where one of its images does, unless it asks for the output `error`: then such an image has that, and no labels. " +
			"Images stand in the JSON in base64, or follow it as binary tensor data of Triton's extension."
		infer.Takes = []openapi.Body{{Type: jsonType, Of: request{}}}
		infer.Answers = append(infer.Answers, openapi.Answer{
			Status: http.StatusOK, Type: "application/octet-stream", Schema: &openapi.Schema{Type: "string", Format: "binary"},
		})
		for _, r := range []openapi.Route{metadata, ready, infer} {
			r.Params = params
			routes = append(routes, r)
		}
	}
	return routes
}

// route describes one address. Its errors are of the protocol's own form, and those of whatever stands before it are problems.
func (s *Service) route(method, path, summary string, h func(http.ResponseWriter, *http.Request) error, status int, of any, fails ...ocelli.Code) openapi.Route {
	r := openapi.Route{
		Method: method, Path: path, Tag: openapi.Inference, Summary: summary,
		Answers: []openapi.Answer{{Status: status, Detail: "The answer", Type: jsonType, Of: of}},
		Handle: func(w http.ResponseWriter, r *http.Request) {
			if err := h(w, r); err != nil {
				s.fail(w, r, err)
			}
		},
	}
	for _, code := range append(fails, ocelli.Overloaded) {
		status := code.HTTPStatus()
		r.Answers = append(r.Answers, openapi.Answer{Status: status, Detail: http.StatusText(status), Type: jsonType, Of: failure{}})
	}
	// What says how a server is says it with this status too.
	r.Answers = append(r.Answers, openapi.Answer{Status: http.StatusServiceUnavailable, Detail: "Not ready", Type: jsonType, Schema: &openapi.Schema{Type: "object"}})
	return r
}

// Describe adds what a request must be beyond its Go types.
func (request) Describe(s *openapi.Schema) {
	s.Properties["inputs"].MinItems, s.Properties["inputs"].MaxItems = 1, 1
}

// Describe adds what an input must be.
func (input) Describe(s *openapi.Schema) {
	text := &openapi.Schema{Type: "string", ContentEncoding: "base64"}
	s.Properties["name"].Enum = []any{inputName}
	s.Properties["datatype"].Enum = []any{datatypeBytes}
	s.Properties["shape"].Items = openapi.Bounds("integer", 1, 1<<31-1)
	data := s.Properties["data"]
	data.Type, data.Items = "array", &openapi.Schema{AnyOf: []*openapi.Schema{text, {Type: "array", Items: text}}}
}

// Describe adds what an output may be.
func (wanted) Describe(s *openapi.Schema) {
	for _, o := range outputs {
		s.Properties["name"].Enum = append(s.Properties["name"].Enum, o.name)
	}
}

// Describe adds the bounds of numbers.
func (parameters) Describe(s *openapi.Schema) {
	for name, least := range map[string]float64{"top_k": 1, "classification": 0} {
		bounds := openapi.Bounds("integer", least, mostLabels)
		s.Properties[name].Minimum, s.Properties[name].Maximum = bounds.Minimum, bounds.Maximum
	}
}

package api

import (
	"embed"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/decode"
	"github.com/ocelli/ocelli/internal/openapi"
	"github.com/ocelli/ocelli/internal/scale"
)

const (
	jsonType    = "application/json"
	problemType = "application/problem+json"
	ulid        = `[0-9A-HJKMNP-TV-Z]{26}`
	duration    = `^(0|[0-9]{1,2}s|[1-9]m)?$` // of what time.ParseDuration takes, the part that people need
)

var (
	jobParam   = openapi.PathParam("id", "the id of the job", &openapi.Schema{Type: "string", Pattern: "^" + ulid + "$", Examples: []any{"01M84JP5M625A2E6M9WFSP37S3"}})
	imageParam = openapi.PathParam("id", "the id of the image", &openapi.Schema{Type: "string", Pattern: "^" + ulid + "-[0-9]{4,6}$", Examples: []any{"01M84JP5M625A2E6M9WFSP37S3-0001"}})
	waitParam  = openapi.QueryParam("wait", "how long the answer may wait for results, up to 10m", &openapi.Schema{Type: "string", Pattern: duration, Examples: []any{"60s"}})
	sinceParam = openapi.QueryParam("since", "how far to go back; 1h where it is left out", &openapi.Schema{Type: "string", Pattern: duration, Examples: []any{"10s"}})
	nameParam  = openapi.QueryParam("name", "the name of an image that is the body; those of a form have names of their own", &openapi.Schema{Type: "string", Examples: []any{"dog.jpg"}})
	keyParam   = openapi.HeaderParam("Idempotency-Key", "text of your own: a repeat of the request with the same text is the same job",
		&openapi.Schema{Type: "string", MaxLength: 255})
	deadlineParam = openapi.QueryParam("deadline", "images without a result after this time end with the error deadline_exceeded",
		&openapi.Schema{Type: "string", Pattern: `^([1-9][0-9]?[sm])?$`, Examples: []any{"30s"}})
	webhookParam   = openapi.QueryParam("webhook", "where to send a signed message when the job has ended", &openapi.Schema{Type: "string", Format: "uri"})
	locationHeader = map[string]openapi.Header{"Location": {Description: "the address of the job", Schema: &openapi.Schema{Type: "string"}}}
)

func limitParam(most, otherwise int) openapi.Parameter {
	return openapi.QueryParam("limit", fmt.Sprintf("how many at most; %d where it is left out", otherwise), openapi.Bounds("integer", 1, float64(most)))
}

// file is the schema of bytes.
func file() *openapi.Schema { return &openapi.Schema{Type: "string", Format: "binary"} }

var (
	formOfOne  = form(file())
	formOfMany = form(&openapi.Schema{Type: "array", Items: file(), MinItems: 1})
)

// form is the schema of a form. Its files may stand under any names; image is one.
func form(image *openapi.Schema) *openapi.Schema {
	return &openapi.Schema{Type: "object", Properties: map[string]*openapi.Schema{"image": image}, Required: []string{"image"}}
}

// urlList is a list of images by their addresses, each a string or an object.
var urlList = &openapi.Schema{
	Type: "object", Required: []string{"urls"}, AdditionalProperties: false,
	Properties: map[string]*openapi.Schema{"urls": {Type: "array", MinItems: 1, Items: &openapi.Schema{AnyOf: []*openapi.Schema{
		{Type: "string", Format: "uri", Examples: []any{"https://example.com/dog.jpg"}},
		{Type: "object", AdditionalProperties: false, Properties: map[string]*openapi.Schema{
			"url": {Type: "string", Format: "uri"}, "name": {Type: "string"},
		}},
	}}}},
}

// imageBodies are a form, archives, a list of addresses, and one image of each type that is read.
func imageBodies(form *openapi.Schema) []openapi.Body {
	bodies := []openapi.Body{{Type: "multipart/form-data", Schema: form}, {Type: jsonType, Schema: urlList}}
	for _, t := range []string{"application/zip", "application/x-tar", "application/gzip"} {
		bodies = append(bodies, openapi.Body{Type: t, Schema: file()})
	}
	for _, t := range decode.MediaTypes() {
		bodies = append(bodies, openapi.Body{Type: t, Schema: file()})
	}
	return bodies
}

// contentAnswers are the types of image that were sent.
func contentAnswers() []openapi.Answer {
	var answers []openapi.Answer
	for _, t := range append(decode.MediaTypes(), "application/octet-stream") {
		answers = append(answers, openapi.Answer{Status: http.StatusOK, Detail: "The bytes, with the type that they are of", Type: t, Schema: file()})
	}
	return answers
}

// decisionList is the answer of getDecisions.
type decisionList struct {
	Decisions []scale.Decision `json:"decisions"`
}

const about = `Send images, get what they show. Errors are problems (RFC 9457) with one clear sentence and a code for programs.

Clients of Amazon Rekognition work with this address as their endpoint: POST / with X-Amz-Target: RekognitionService.DetectLabels. ` +
	`Clients of KServe and the Triton Inference Server work by the Open Inference Protocol below.`

// describe returns the description of parts.
func describe(parts []openapi.Part) *openapi.Document {
	return openapi.New(openapi.Config{
		Info: openapi.Info{
			Title: "Ocelli", Version: ocelli.Version(), Description: about,
			License: openapi.License{Name: "Apache License 2.0", Identifier: "Apache-2.0"},
		},
		Tags: []openapi.Tag{
			{Name: tagRecognise, Description: "Images in, labels out"},
			{Name: tagJobs, Description: "What became of images that were sent together"},
			{Name: tagImages, Description: "What became of one image"},
			{Name: tagService, Description: "What goes on"},
			{Name: openapi.Inference, Description: "The Open Inference Protocol, version 2, of KServe and the Triton Inference Server"},
		},
		SecuritySchemes: map[string]openapi.SecurityScheme{
			"bearer": {Type: "http", Scheme: "bearer", Description: "An API key of this service, where it asks for one"},
			"header": {Type: "apiKey", In: "header", Name: "X-Api-Key", Description: "The same in a header of its own"},
		},
		Problem: Problem{}, ProblemType: problemType,
		Fails: []ocelli.Code{
			ocelli.BadRequest, ocelli.Unauthorized, ocelli.Forbidden, ocelli.WrongMethod, ocelli.WrongHost, ocelli.RateLimited, ocelli.Unavailable,
		},
	}, parts)
}

// Register adds the API's addresses, those of more, and the description of them all at /openapi.json to mux. It returns the
// description.
func (a *API) Register(mux *http.ServeMux, more ...openapi.Part) *openapi.Document {
	var text []byte
	routes := append(a.Routes(), openapi.Route{
		Method: "GET", Path: "/openapi.json", Tag: tagService, Summary: "This description",
		Handle: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", jsonType)
			w.Header().Set("Cache-Control", "no-cache")
			w.Header().Set("X-Content-Type-Options", "nosniff")
			_, _ = w.Write(text) // the only error is that the client has gone
		},
		Answers: []openapi.Answer{{Status: http.StatusOK, Detail: "An OpenAPI document", Type: jsonType, Schema: &openapi.Schema{Type: "object"}}},
	})
	for i := range routes {
		routes[i].Handle = a.readable(routes[i].Handle)
	}
	parts := append([]openapi.Part{{Routes: routes, Source: ocelli.Source}, {Source: scale.Source}, {Source: source}}, more...)
	doc := describe(parts)
	text = doc.JSON()
	for _, part := range parts {
		openapi.Mount(mux, part.Routes, func(w http.ResponseWriter, r *http.Request, allowed []string) {
			a.fail(w, r, ocelli.Errorf(ocelli.WrongMethod, "%s takes %s, and not %s", r.URL.Path, strings.Join(allowed, " or "), r.Method))
		})
	}
	mux.HandleFunc("/v1/", func(w http.ResponseWriter, r *http.Request) {
		a.fail(w, r, ocelli.Errorf(ocelli.NotFound, "there is nothing at %s %.100s", r.Method, r.URL.Path))
	})
	return doc
}

// readable refuses a request whose query does not parse: of "purge=true;" Go's own reading would leave nothing, and the job be cancelled in
// place of deleted.
func (a *API) readable(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if _, err := url.ParseQuery(r.URL.RawQuery); err != nil {
			a.fail(w, r, ocelli.Errorf(ocelli.BadRequest, "what stands behind ? in the address cannot be read (%v): write %% as %%25 and ; as %%3B in it", err))
			return
		}
		next(w, r)
	}
}

//go:embed answer.go
var source embed.FS

package openapi_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/openapi"
)

type kind string

type base struct {
	ID string `json:"id"`
}

type thing struct {
	base
	Kind   kind               `json:"kind"`
	Size   int                `json:"size,omitempty"`
	When   *time.Time         `json:"when"`
	Parts  []thing            `json:"parts"`
	Scores map[string]float64 `json:"scores,omitempty"`
	Raw    json.RawMessage    `json:"raw"`
	Bytes  []byte             `json:"bytes"`
	Next   *thing             `json:"next"`
	Plain  bool
	Never  string `json:"-"`
}

// Describe adds what the type does not say.
func (thing) Describe(s *openapi.Schema) { s.Properties["size"].Minimum = new(float64) }

// source says of the types above what their own file would, so that the test shows what is read from where.
var source = fstest.MapFS{"x.go": {Data: []byte(`package openapi_test
// kind is a sort of thing.
type kind string
const (
	round kind = "round" // like a ball
	flat  kind = "flat"
)
// thing is what there is. See [kind].
type thing struct {
	// which sort
	Kind kind
	Size int // bytes
}
`)}}

func document() *openapi.Document {
	return openapi.New(openapi.Config{
		Info: openapi.Info{Title: "T", Version: "1"}, Problem: struct {
			Detail string `json:"detail"`
		}{}, ProblemType: "application/problem+json", Fails: []ocelli.Code{ocelli.Unavailable},
	}, []openapi.Part{{Source: source, Routes: []openapi.Route{{
		Method: "POST", Path: "/v1/things/{id}/x.csv", Summary: "s", Tag: "t",
		Params:  []openapi.Parameter{openapi.PathParam("id", "the id", &openapi.Schema{Type: "string"})},
		Takes:   []openapi.Body{{Type: "application/json", Of: thing{}}},
		Answers: []openapi.Answer{{Status: 200, Detail: "good", Type: "application/json", Of: []thing{}}, {Status: 200, Type: "text/plain", Schema: &openapi.Schema{Type: "string"}}},
		Fails:   []ocelli.Code{ocelli.NotFound, ocelli.TooLarge, ocelli.TooManyPixels},
	}}}})
}

func TestTheDocumentSaysWhatTypesAndCommentsSay(t *testing.T) {
	var got map[string]any
	if err := json.Unmarshal(document().JSON(), &got); err != nil {
		t.Fatal(err)
	}
	const want = `{
	"Openapi_testKind": {"type": "string", "description": "A sort of thing.\n- round: like a ball", "enum": ["round", "flat"]},
	"Openapi_testThing": {"type": "object", "description": "What there is. See kind.",
		"required": ["id", "kind", "when", "parts", "raw", "bytes", "next", "Plain"],
		"properties": {
			"id": {"type": "string"},
			"kind": {"$ref": "#/components/schemas/Openapi_testKind", "description": "which sort"},
			"size": {"type": "integer", "description": "bytes", "minimum": 0},
			"when": {"type": ["string", "null"], "format": "date-time"},
			"parts": {"type": "array", "items": {"$ref": "#/components/schemas/Openapi_testThing"}},
			"scores": {"type": "object", "additionalProperties": {"type": "number"}},
			"raw": {},
			"bytes": {"type": "string", "contentEncoding": "base64"},
			"next": {"anyOf": [{"$ref": "#/components/schemas/Openapi_testThing"}, {"type": "null"}]},
			"Plain": {"type": "boolean"}}}}`
	var schemas map[string]any
	if err := json.Unmarshal([]byte(want), &schemas); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(schemas, got["components"].(map[string]any)["schemas"]); diff != "" {
		t.Errorf("schemas (-want +got):\n%s", diff)
	}
}

func TestAnswersAndErrorsOfAnOperation(t *testing.T) {
	o := document().Paths["/v1/things/{id}/x.csv"]["post"]
	if o == nil || o.OperationID != "postThingsByIdXCsv" {
		t.Fatalf("the operation is %+v", o)
	}
	var got []string
	for status, resp := range o.Responses {
		got = append(got, status)
		if want := map[string]string{"200": "good", "404": "Not Found: not_found", "413": "Request Entity Too Large: too_large, too_many_pixels",
			"503": "Service Unavailable: unavailable"}[status]; resp.Description != want {
			t.Errorf("%s is %q, want %q", status, resp.Description, want)
		}
	}
	if len(got) != 4 || len(o.Responses["200"].Content) != 2 || o.Responses["503"].Headers["Retry-After"].Schema == nil {
		t.Errorf("answers are %v: %+v", got, o.Responses)
	}
}

func TestMountTellsWhichMethodsThereAre(t *testing.T) {
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }
	openapi.Mount(mux, []openapi.Route{{Method: "GET", Path: "/a/{id}", Handle: ok}, {Method: "DELETE", Path: "/a/{id}", Handle: ok}},
		func(w http.ResponseWriter, _ *http.Request, _ []string) { w.WriteHeader(http.StatusMethodNotAllowed) })
	for method, want := range map[string]int{"GET": 204, "DELETE": 204, "POST": 405} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest(method, "/a/1", nil))
		if w.Code != want || want == 405 && w.Header().Get("Allow") != "GET, DELETE" {
			t.Errorf("%s: %d, Allow %q", method, w.Code, w.Header().Get("Allow"))
		}
	}
}

package openapi

import (
	"encoding/json"
	"io/fs"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/ocelli/ocelli"
)

// Inference is the tag of the Open Inference Protocol.
const Inference = "Open Inference Protocol"

// Route is one operation of the API: its handler and what there is to say about it.
type Route struct {
	Method, Path string // the path with {name} for its parameters
	Handle       http.HandlerFunc
	Tag          string // the name of one of the tags of the document
	Summary      string // a few words
	Detail       string // sentences, "" for none
	Params       []Parameter
	Takes        []Body
	Answers      []Answer
	Fails        []ocelli.Code // of errors that only this operation has; see [Config]
}

// Body is a body that an operation takes.
type Body struct {
	Type   string // its media type
	Schema *Schema
	Of     any // a value of the Go type that it is, in place of a Schema
}

// Answer is what an operation answers when all is well, or, with a status of its own, otherwise.
type Answer struct {
	Status  int
	Detail  string
	Type    string // media type, "" where there is no body
	Schema  *Schema
	Of      any // a value of the Go type that it is, in place of a Schema
	Headers map[string]Header
}

// Config is what all operations of a document share.
type Config struct {
	Info            Info
	Tags            []Tag
	SecuritySchemes map[string]SecurityScheme
	Problem         any // a value of the Go type that errors are
	ProblemType     string
	Fails           []ocelli.Code // errors that all operations have
}

// Part is some of the routes of a document.
type Part struct {
	Routes []Route
	Source fs.FS // the Go source of the types of what they take and answer, nil for none
}

// New returns the document of the parts. It panics where their source cannot be read, which is an error of the build.
func New(c Config, parts []Part) *Document {
	words, err := readWords(parts)
	if err != nil {
		panic(err)
	}
	s := &schemas{words: words, components: map[string]*Schema{}}
	d := &Document{
		OpenAPI: "3.1.1", Info: c.Info, Tags: c.Tags, Paths: map[string]map[string]*Operation{},
		Components: Components{Schemas: s.components, SecuritySchemes: c.SecuritySchemes},
		Security:   []map[string][]string{{}},
	}
	for _, name := range slices.Sorted(maps.Keys(c.SecuritySchemes)) {
		d.Security = append(d.Security, map[string][]string{name: {}})
	}
	for _, part := range parts {
		for _, r := range part.Routes {
			if d.Paths[r.Path] == nil {
				d.Paths[r.Path] = map[string]*Operation{}
			}
			d.Paths[r.Path][strings.ToLower(r.Method)] = s.operation(c, r)
		}
	}
	return d
}

// JSON is the document as it is served.
func (d *Document) JSON() []byte {
	text, err := json.Marshal(d)
	if err != nil {
		panic(err) // our own types always marshal
	}
	return text
}

func (s *schemas) operation(c Config, r Route) *Operation {
	o := &Operation{
		Tags: []string{r.Tag}, Summary: r.Summary, Description: r.Detail, OperationID: operationID(r),
		Parameters: r.Params, Responses: map[string]*Response{},
	}
	if len(r.Takes) > 0 {
		o.RequestBody = &RequestBody{Required: true, Content: map[string]Media{}}
		for _, b := range r.Takes {
			o.RequestBody.Content[b.Type] = s.media(b.Schema, b.Of)
		}
	}
	for _, a := range r.Answers {
		status := strconv.Itoa(a.Status)
		resp := o.Responses[status]
		if resp == nil {
			resp = &Response{Description: a.Detail, Headers: a.Headers}
			o.Responses[status] = resp
		}
		if a.Type != "" {
			if resp.Content == nil {
				resp.Content = map[string]Media{}
			}
			resp.Content[a.Type] = s.media(a.Schema, a.Of)
		}
	}
	s.fails(c, o, slices.Concat(r.Fails, c.Fails))
	return o
}

// fails adds the answers of errors: of each status one, which lists the codes.
func (s *schemas) fails(c Config, o *Operation, codes []ocelli.Code) {
	byStatus := map[int][]string{}
	for _, code := range codes {
		status := code.HTTPStatus()
		if !slices.Contains(byStatus[status], string(code)) {
			byStatus[status] = append(byStatus[status], string(code))
		}
	}
	for status, names := range byStatus {
		key := strconv.Itoa(status)
		if there := o.Responses[key]; there != nil {
			there.Content[c.ProblemType] = s.media(nil, c.Problem)
			continue
		}
		resp := &Response{
			Description: http.StatusText(status) + ": " + strings.Join(names, ", "),
			Content:     map[string]Media{c.ProblemType: s.media(nil, c.Problem)},
		}
		if status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable {
			resp.Headers = map[string]Header{"Retry-After": {Description: "seconds to wait", Schema: &Schema{Type: "integer"}}}
		}
		o.Responses[key] = resp
	}
}

func (s *schemas) media(schema *Schema, of any) Media {
	if schema == nil && of != nil {
		schema = s.of(reflect.TypeOf(of))
	}
	return Media{Schema: schema}
}

// operationID makes a name of method and path: "getJobsByIdEvents".
func operationID(r Route) string {
	var b strings.Builder
	b.WriteString(strings.ToLower(r.Method))
	for part := range strings.FieldsFuncSeq(r.Path, func(c rune) bool { return strings.ContainsRune("/._-", c) }) {
		if part == "v1" {
			continue
		}
		if name, ok := strings.CutPrefix(part, "{"); ok {
			part = "by" + strings.ToUpper(name[:1]) + strings.TrimSuffix(name[1:], "}")
		}
		b.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return b.String()
}

// PathParam describes a parameter of the path.
func PathParam(name, detail string, schema *Schema) Parameter {
	return Parameter{Name: name, In: "path", Description: detail, Required: true, Schema: schema}
}

// QueryParam describes a parameter of the query, which may be left out.
func QueryParam(name, detail string, schema *Schema) Parameter {
	return Parameter{Name: name, In: "query", Description: detail, Schema: schema}
}

// HeaderParam describes a header of a request, which may be left out.
func HeaderParam(name, detail string, schema *Schema) Parameter {
	return Parameter{Name: name, In: "header", Description: detail, Schema: schema}
}

// Mount adds the routes to mux. A request with another method than those of its path is answered by wrongMethod, with Allow set.
func Mount(mux *http.ServeMux, routes []Route, wrongMethod func(w http.ResponseWriter, r *http.Request, allowed []string)) {
	allowed := map[string][]string{}
	for _, r := range routes {
		mux.HandleFunc(r.Method+" "+r.Path, r.Handle)
		allowed[r.Path] = append(allowed[r.Path], r.Method)
	}
	for path, methods := range allowed {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			wrongMethod(w, r, methods)
		})
	}
}

package web

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ocelli/ocelli/internal/openapi"
)

// docsView is the description of the HTTP API for people.
type docsView struct {
	About  []prose // paragraphs
	Groups []docsGroup
	Types  []docsType
}

type docsGroup struct {
	Name, About string
	Operations  []docsOperation
}

type docsOperation struct {
	ID, Method, Path string
	Summary, Example string // the example is a command line
	Detail           prose
	Params           []docsField
	Takes            []docsBody
	Answers          []docsAnswer
}

// docsField is a parameter, or a field of a type.
type docsField struct {
	Name, Where string
	Required    bool
	Type        docsKind
	About       string
}

// docsBody is one or several media types that come in one form.
type docsBody struct {
	Media string
	Type  docsKind
}

type docsAnswer struct {
	Status string
	About  string
	Bodies []docsBody
}

type docsType struct {
	Name, About string
	Lines       []string // values, each with its meaning
	Fields      []docsField
}

// prose is text in which every second part is code: what stood between backticks.
type prose []string

func proseOf(text string) prose { return strings.Split(text, "`") }

// docsKind is a type as people read it; Link is the name of one that has a place of its own on the page.
type docsKind struct{ Before, Link, After string }

// docs shows the description of the HTTP API. It is made anew each time: hardly anybody asks, and it takes a millisecond.
func (s *web) docs(w http.ResponseWriter, r *http.Request) {
	if s.API == nil {
		s.missing(w, r)
		return
	}
	s.show(w, r, http.StatusOK, page{Name: "docs", Title: "For programs", Body: viewDocs(s.API, r.Host)})
}

func viewDocs(d *openapi.Document, host string) docsView {
	var v docsView
	for text := range strings.SplitSeq(d.Info.Description, "\n\n") {
		v.About = append(v.About, proseOf(text))
	}
	for _, tag := range d.Tags {
		group := docsGroup{Name: tag.Name, About: tag.Description}
		for _, path := range slices.Sorted(maps.Keys(d.Paths)) {
			for _, method := range []string{"get", "post", "delete"} {
				if o := d.Paths[path][method]; o != nil && slices.Contains(o.Tags, tag.Name) {
					group.Operations = append(group.Operations, viewOperation(o, strings.ToUpper(method), path, host))
				}
			}
		}
		v.Groups = append(v.Groups, group)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Components.Schemas)) {
		v.Types = append(v.Types, viewType(name, d.Components.Schemas[name]))
	}
	return v
}

func viewOperation(o *openapi.Operation, method, path, host string) docsOperation {
	v := docsOperation{ID: o.OperationID, Method: method, Path: path, Summary: o.Summary, Detail: proseOf(o.Description), Example: example(o, method, path, host)}
	for _, p := range o.Parameters {
		v.Params = append(v.Params, docsField{Name: p.Name, Where: p.In, Required: p.Required, Type: kindOf(p.Schema), About: p.Description})
	}
	if o.RequestBody != nil {
		v.Takes = bodies(o.RequestBody.Content)
	}
	for _, status := range slices.Sorted(maps.Keys(o.Responses)) {
		resp := o.Responses[status]
		v.Answers = append(v.Answers, docsAnswer{Status: status, About: resp.Description, Bodies: bodies(resp.Content)})
	}
	return v
}

// bodies puts media types that come in the same form, as image/png and image/jpeg do, on one line.
func bodies(content map[string]openapi.Media) []docsBody {
	var list []docsBody
	for _, media := range slices.Sorted(maps.Keys(content)) {
		kind := kindOf(content[media].Schema)
		same := slices.IndexFunc(list, func(b docsBody) bool { return b.Type == kind })
		if same >= 0 {
			list[same].Media += ", " + media
			continue
		}
		list = append(list, docsBody{media, kind})
	}
	return list
}

// example is a command line that does the operation.
func example(o *openapi.Operation, method, path, host string) string {
	for _, p := range o.Parameters {
		if p.In == "path" && len(p.Schema.Examples) > 0 {
			path = strings.ReplaceAll(path, "{"+p.Name+"}", fmt.Sprint(p.Schema.Examples[0]))
		}
	}
	address := "http://" + cmp.Or(host, "localhost:8080") + path
	switch {
	case o.RequestBody == nil && method == http.MethodGet:
		return "curl " + address
	case o.RequestBody == nil:
		return "curl -X " + method + " " + address
	}
	if _, form := o.RequestBody.Content["multipart/form-data"]; form {
		return "curl -F image=@photo.jpg '" + address + "?wait=60s'"
	}
	return "curl -H 'Content-Type: application/json' -d @request.json " + address
}

func viewType(name string, s *openapi.Schema) docsType {
	lines := strings.Split(s.Description, "\n- ")
	v := docsType{Name: name, About: lines[0], Lines: lines[1:]}
	for _, field := range slices.Sorted(maps.Keys(s.Properties)) {
		v.Fields = append(v.Fields, docsField{
			Name: field, Required: slices.Contains(s.Required, field), Type: kindOf(s.Properties[field]), About: s.Properties[field].Description,
		})
	}
	return v
}

func kindOf(s *openapi.Schema) docsKind {
	if s == nil {
		return docsKind{Before: "anything"}
	}
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return docsKind{Link: name}
	}
	if len(s.AnyOf) > 0 {
		k := kindOf(s.AnyOf[0])
		for _, other := range s.AnyOf[1:] {
			o := kindOf(other)
			k.After += " or " + o.Before + o.Link + o.After
		}
		return k
	}
	return kindOfValue(s)
}

// kindOfValue is the kind of a schema that is written out.
func kindOfValue(s *openapi.Schema) docsKind {
	switch t := s.Type.(type) {
	case []string:
		return docsKind{Before: strings.Join(t, " or ")}
	case string:
		switch {
		case t == "array":
			k := kindOf(s.Items)
			k.Before = "list of " + k.Before
			return k
		case s.Format == "binary":
			return docsKind{Before: "bytes"}
		case s.ContentEncoding != "":
			return docsKind{Before: s.ContentEncoding}
		case s.Format == "date-time":
			return docsKind{Before: "time"}
		case len(s.Enum) > 0:
			values := make([]string, len(s.Enum))
			for i, v := range s.Enum {
				values[i] = strconv.Quote(fmt.Sprint(v))
			}
			return docsKind{Before: strings.Join(values, " or ")}
		case t == "object" && s.Properties != nil:
			return docsKind{Before: "fields " + strings.Join(slices.Sorted(maps.Keys(s.Properties)), ", ")}
		}
		return docsKind{Before: t}
	}
	return docsKind{Before: "anything"}
}

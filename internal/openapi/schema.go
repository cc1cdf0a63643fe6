package openapi

import (
	"encoding/json"
	"maps"
	"path"
	"reflect"
	"strings"
	"time"
)

// Schema is a JSON schema (draft 2020-12), as far as it is needed here.
type Schema struct {
	Ref                  string             `json:"$ref,omitempty"`
	Type                 any                `json:"type,omitempty"` // a name, or a list of names
	Format               string             `json:"format,omitempty"`
	Description          string             `json:"description,omitempty"`
	Pattern              string             `json:"pattern,omitempty"`
	Enum                 []any              `json:"enum,omitempty"`
	Minimum              *float64           `json:"minimum,omitempty"`
	Maximum              *float64           `json:"maximum,omitempty"`
	MinLength            int                `json:"minLength,omitempty"`
	MaxLength            int                `json:"maxLength,omitempty"`
	MinItems             int                `json:"minItems,omitempty"`
	MaxItems             int                `json:"maxItems,omitempty"`
	Items                *Schema            `json:"items,omitempty"`
	Properties           map[string]*Schema `json:"properties,omitempty"`
	Required             []string           `json:"required,omitempty"`
	AdditionalProperties any                `json:"additionalProperties,omitempty"` // a *Schema, or false
	AnyOf                []*Schema          `json:"anyOf,omitempty"`
	ContentEncoding      string             `json:"contentEncoding,omitempty"`
	ContentMediaType     string             `json:"contentMediaType,omitempty"`
	Examples             []any              `json:"examples,omitempty"`
}

// Describer is a struct that is more than its Go type says: Describe adds that to its schema.
type Describer interface{ Describe(s *Schema) }

// Bounds is the schema of a number of a kind, "integer" for one, from least to greatest.
func Bounds(kind string, least, greatest float64) *Schema {
	return &Schema{Type: kind, Minimum: &least, Maximum: &greatest}
}

// schemas turns Go types into schemas as encoding/json writes them. Named structs and named strings with constants become components.
type schemas struct {
	words      *words
	components map[string]*Schema
}

const refPrefix = "#/components/schemas/"

var (
	timeType     = reflect.TypeFor[time.Time]()
	durationType = reflect.TypeFor[time.Duration]()
	rawType      = reflect.TypeFor[json.RawMessage]()
)

func (s *schemas) of(t reflect.Type) *Schema {
	switch t {
	case timeType:
		return &Schema{Type: "string", Format: "date-time"}
	case durationType:
		return &Schema{Type: "integer", Format: "int64", Description: "nanoseconds"}
	case rawType:
		return &Schema{}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return nullable(s.of(t.Elem()))
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return &Schema{Type: "string", ContentEncoding: "base64"}
		}
		return &Schema{Type: "array", Items: s.of(t.Elem())}
	case reflect.Map:
		return &Schema{Type: "object", AdditionalProperties: s.of(t.Elem())}
	case reflect.Bool:
		return &Schema{Type: "boolean"}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uint:
		return &Schema{Type: "integer"}
	case reflect.Float32, reflect.Float64:
		return &Schema{Type: "number"}
	case reflect.String:
		return s.text(t)
	case reflect.Struct:
		return s.object(t)
	}
	return &Schema{} // any value
}

// nullable is the schema of a pointer: null, or what it points to.
func nullable(s *Schema) *Schema {
	if name, ok := s.Type.(string); ok && s.Enum == nil {
		s.Type = []string{name, "null"}
		return s
	}
	return &Schema{AnyOf: []*Schema{s, {Type: "null"}}}
}

// text is the schema of a kind of string: with its constants, where there are some.
func (s *schemas) text(t reflect.Type) *Schema {
	values := s.words.constants(t)
	if len(values) == 0 {
		return &Schema{Type: "string"}
	}
	return s.component(t, func(c *Schema) {
		c.Type = "string"
		for _, v := range values {
			c.Enum = append(c.Enum, v.value)
			if v.comment != "" {
				c.Description += "\n- " + v.value + ": " + v.comment
			}
		}
	})
}

func (s *schemas) object(t reflect.Type) *Schema {
	if t.Name() == "" {
		o := &Schema{}
		s.fill(o, t)
		return o
	}
	return s.component(t, func(c *Schema) {
		s.fill(c, t)
		if d, ok := reflect.Zero(t).Interface().(Describer); ok {
			d.Describe(c)
		}
	})
}

// component returns a reference to the component of a named type, which make fills in the first time.
func (s *schemas) component(t reflect.Type, make func(*Schema)) *Schema {
	name := componentName(t)
	if s.components[name] == nil {
		c := &Schema{Description: s.words.ofType(t)}
		s.components[name] = c // before it is filled in: a type may hold itself
		make(c)
	}
	return &Schema{Ref: refPrefix + name}
}

// componentName is the name of a type, with that of its package where that is neither the root nor the API's own.
func componentName(t reflect.Type) string {
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	switch pkg := path.Base(t.PkgPath()); pkg {
	case "ocelli", "api":
		return name
	default:
		return strings.ToUpper(pkg[:1]) + pkg[1:] + name
	}
}

// fill describes the fields of a struct as encoding/json reads them: exported, under the names of their tags.
func (s *schemas) fill(o *Schema, t reflect.Type) {
	o.Type, o.Properties = "object", map[string]*Schema{}
	for f := range t.Fields() {
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if tag == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		if f.Anonymous && tag == "" {
			s.inline(o, f.Type)
			continue
		}
		if tag == "" {
			tag = f.Name
		}
		field := s.of(f.Type)
		if comment := s.words.ofField(t, f.Name); comment != "" {
			field = described(field, comment)
		}
		o.Properties[tag] = field
		if !strings.Contains(options, "omitempty") && !strings.Contains(options, "omitzero") {
			o.Required = append(o.Required, tag)
		}
	}
}

// inline adds the fields of an embedded struct.
func (s *schemas) inline(o *Schema, t reflect.Type) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var inner Schema
	s.fill(&inner, t)
	maps.Copy(o.Properties, inner.Properties)
	o.Required = append(o.Required, inner.Required...)
}

// described adds a comment to a schema; beside a reference it stands for the place where it is used.
func described(s *Schema, comment string) *Schema {
	if s.Description != "" {
		comment += "; " + s.Description
	}
	s.Description = comment
	return s
}

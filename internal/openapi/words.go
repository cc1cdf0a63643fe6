package openapi

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"reflect"
	"strconv"
	"strings"
)

// words are what the source of some packages says about their types: the comments of types and fields, and the constants of kinds of
// strings.
type words struct {
	types, fields map[string]string     // "package.Type", "package.Type.Field"
	values        map[string][]constant // "package.Type"
}

type constant struct{ value, comment string }

// readWords reads the Go source of parts. The package of a file is told from its package clause.
func readWords(parts []Part) (*words, error) {
	w := &words{types: map[string]string{}, fields: map[string]string{}, values: map[string][]constant{}}
	for _, part := range parts {
		folder := part.Source
		if folder == nil {
			continue
		}
		names, err := fs.Glob(folder, "*.go")
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			text, err := fs.ReadFile(folder, name)
			if err != nil {
				return nil, err
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				return nil, fmt.Errorf("reading the comments of %s: %w", name, err)
			}
			w.read(file)
		}
	}
	return w, nil
}

func (w *words) read(file *ast.File) {
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok {
			continue
		}
		for _, spec := range gen.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				w.readType(file.Name.Name, spec, comment(spec.Doc, gen.Doc))
			case *ast.ValueSpec:
				w.readConstant(file.Name.Name, spec)
			}
		}
	}
}

func (w *words) readType(pkg string, spec *ast.TypeSpec, doc string) {
	name := pkg + "." + spec.Name.Name
	w.types[name] = doc
	if s, ok := spec.Type.(*ast.StructType); ok {
		for _, field := range s.Fields.List {
			for _, ident := range field.Names {
				w.fields[name+"."+ident.Name] = comment(field.Comment, field.Doc)
			}
		}
	}
}

func (w *words) readConstant(pkg string, spec *ast.ValueSpec) {
	kind, ok := spec.Type.(*ast.Ident)
	if !ok || len(spec.Values) != 1 {
		return
	}
	lit, ok := spec.Values[0].(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return
	}
	if value, err := strconv.Unquote(lit.Value); err == nil {
		name := pkg + "." + kind.Name
		w.values[name] = append(w.values[name], constant{value, comment(spec.Comment)})
	}
}

// comment is the first comment of several that is there, on one line and without the brackets of links.
func comment(groups ...*ast.CommentGroup) string {
	for _, g := range groups {
		if text := strings.Join(strings.Fields(g.Text()), " "); text != "" {
			return strings.NewReplacer("[", "", "]", "").Replace(text)
		}
	}
	return ""
}

// nameOf is how the source names a type.
func nameOf(t reflect.Type) string { return path.Base(t.PkgPath()) + "." + t.Name() }

// ofType is the comment of a type without its name at the beginning: "Label is one class" becomes "One class".
func (w *words) ofType(t reflect.Type) string {
	text := w.types[nameOf(t)]
	rest, ok := strings.CutPrefix(text, t.Name()+" is ")
	if !ok || rest == "" {
		return text
	}
	return strings.ToUpper(rest[:1]) + rest[1:]
}

func (w *words) ofField(t reflect.Type, field string) string { return w.fields[nameOf(t)+"."+field] }

func (w *words) constants(t reflect.Type) []constant { return w.values[nameOf(t)] }

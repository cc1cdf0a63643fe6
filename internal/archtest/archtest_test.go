package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/ocelli/ocelli"

// layers are the packages from the bottom up. A package may import those of lower layers, and of its own layer only
// what [besides] lists. Drivers are looked at by their own rule.
var layers = [][]string{
	{""},
	{"models", "internal/durable", "internal/blob", "internal/queue", "internal/notify", "internal/decode", "internal/archive", "internal/fetch", "internal/ortlib", "internal/ortlib/pack", "internal/sandbox", "internal/slack"},
	{"internal/access"},
	{"internal/classify", "internal/result", "internal/fleet", "internal/natsembed", "internal/natsconn", "internal/awsconn", "internal/telemetry", "internal/sigv4", "internal/openapi", "internal/thumb", "client"},
	{"internal/intake", "internal/retain", "internal/webhook", "internal/work", "internal/scale", "internal/catalog", "internal/eval",
		"internal/load", "internal/bulk"},
	{"internal/api", "internal/web", "internal/ingest", "internal/rekognition", "internal/oip", "internal/sim"},
	{"cmd/ocelli", "bench", "internal/ortlib/pack", "e2e/chaos", "e2e/siege"},
}

// drivers are the packages behind each seam. A driver imports its own seam, the root and what stands in besides, and
// only cmd/ocelli imports it.
var drivers = map[string]string{
	"internal/blob/fileblob":     "internal/blob",
	"internal/blob/s3blob":       "internal/blob",
	"internal/queue/sqsqueue":    "internal/queue",
	"internal/notify/sqsnotify":  "internal/notify",
	"internal/scale/sqslead":     "internal/scale",
	"internal/queue/natsqueue":   "internal/queue",
	"internal/notify/natsnotify": "internal/notify",
	"internal/fleet/procfleet":   "internal/fleet",
	"internal/fleet/ec2fleet":    "internal/fleet",
	"internal/classify/onnx":     "internal/classify",
	"internal/scale/natslead":    "internal/scale",
}

// besides are imports beyond the rules, each with its reason.
var besides = map[string][]string{
	"internal/blob/fileblob":    {"internal/durable"}, // files that survive power loss
	"internal/blob/s3blob":      {"internal/awsconn"}, // what AWS answers, explained in one place
	"internal/queue/sqsqueue":   {"internal/awsconn"},
	"internal/notify/sqsnotify": {"internal/awsconn"},
	"internal/scale/sqslead":    {"internal/awsconn"},
	"internal/fleet/ec2fleet":   {"internal/awsconn"},
	"bench":                     {"internal/classify/onnx"}, // the limit is the driver without a service around it
}

// suites are the exported test suites beside the seams: any test may import them, and no production code.
var suites = []string{"internal/blob/blobtest", "internal/queue/queuetest", "internal/notify/notifytest",
	"internal/fleet/fleettest", "internal/fleet/ec2fleet/ec2test", "internal/classify/classifytest", "internal/scale/leadtest", "internal/work/worktest", "internal/openapi/openapitest", "internal/awstest", "internal/testtools"}

// pkg is one package of the tree.
type pkg struct {
	files   map[string]*ast.File // by path, tests included
	imports map[string]string    // of ours, without tests: path to the file that imports it
}

// tree parses all packages, in this process, so that the result is never an old one out of a cache.
func tree(t *testing.T) map[string]*pkg {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	pkgs := map[string]*pkg{}
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") && path != root {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(rel))
		if dir == "." {
			dir = ""
		}
		p := pkgs[dir]
		if p == nil {
			p = &pkg{files: map[string]*ast.File{}, imports: map[string]string{}}
			pkgs[dir] = p
		}
		p.files[rel] = file
		if strings.HasSuffix(path, "_test.go") {
			return nil
		}
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if imported == module || strings.HasPrefix(imported, module+"/") {
				p.imports[strings.TrimPrefix(strings.TrimPrefix(imported, module), "/")] = rel
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(pkgs) < 10 {
		t.Fatalf("found %d packages only: is this run in the repository?", len(pkgs))
	}
	return pkgs
}

func layerOf(path string) int {
	return slices.IndexFunc(layers, func(layer []string) bool { return slices.Contains(layer, path) })
}

func TestImportsPointDown(t *testing.T) {
	for path, p := range tree(t) {
		if isOutside(path, p) {
			continue
		}
		seam, isDriver := drivers[path]
		if !isDriver && layerOf(path) < 0 {
			t.Errorf("package %s is in no layer: add it to the one where it belongs, in archtest", path)
			continue
		}
		for imported, file := range p.imports {
			switch {
			case slices.Contains(besides[path], imported):
			case isDriver:
				if imported != "" && imported != seam {
					t.Errorf("%s: a driver of %s imports %s: it may import its seam, the root and one SDK", file, seam, imported)
				}
			case drivers[imported] != "":
				if path != "cmd/ocelli" {
					t.Errorf("%s imports the driver %s: only cmd/ocelli knows drivers", file, imported)
				}
			case layerOf(imported) >= layerOf(path):
				t.Errorf("%s: %s imports %s, which is not below it", file, path, imported)
			}
		}
	}
}

// isOutside reports whether the rules of layers leave the package alone: suites, and folders that hold tests only.
func isOutside(path string, p *pkg) bool {
	if slices.Contains(suites, path) || path == "internal/archtest" {
		return true
	}
	for file := range p.files {
		if !strings.HasSuffix(file, "_test.go") {
			return false
		}
	}
	return true
}

func TestSuitesAreForTestsOnly(t *testing.T) {
	for path, p := range tree(t) {
		for imported, file := range p.imports {
			if slices.Contains(suites, imported) && !slices.Contains(suites, path) {
				t.Errorf("%s imports the test suite %s outside of a test", file, imported)
			}
		}
	}
}

// The root package holds the words and nothing that does anything: std only.
func TestRootImportsStdOnly(t *testing.T) {
	for path, file := range tree(t)[""].files {
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			if !strings.HasSuffix(path, "_test.go") && strings.Contains(strings.Split(imported, "/")[0], ".") {
				t.Errorf("%s imports %s: the root package imports the standard library only", path, imported)
			}
		}
	}
}

func TestEveryPackageIsDocumented(t *testing.T) {
	for path, p := range tree(t) {
		if path == "" || isOutside(path, p) {
			continue
		}
		documented := false
		for _, file := range p.files {
			documented = documented || file.Doc.Text() != ""
		}
		if !documented {
			t.Errorf("package %s has no package comment", path)
		}
	}
}

func TestInterfacesAreSmall(t *testing.T) {
	const most = 6
	for _, p := range tree(t) {
		for path, file := range p.files {
			ast.Inspect(file, func(n ast.Node) bool {
				if spec, ok := n.(*ast.TypeSpec); ok {
					if i, ok := spec.Type.(*ast.InterfaceType); ok && i.Methods.NumFields() > most {
						t.Errorf("%s: the interface %s has %d methods, and %d are the limit", path, spec.Name, i.Methods.NumFields(), most)
					}
				}
				return true
			})
		}
	}
}

func TestFilesAndFunctionsAreShort(t *testing.T) {
	const mostLines, mostOfFunction = 600, 80
	root := os.DirFS("../..")
	for _, p := range tree(t) {
		for path := range p.files {
			text, err := fs.ReadFile(root, filepath.ToSlash(path))
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), "\n"); n > mostLines {
				t.Errorf("%s has %d lines, and %d are the limit: split it", path, n, mostLines)
			}
			if strings.HasSuffix(path, "_test.go") {
				continue
			}
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, text, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, decl := range file.Decls {
				if f, ok := decl.(*ast.FuncDecl); ok {
					if n := set.Position(f.End()).Line - set.Position(f.Pos()).Line; n > mostOfFunction {
						t.Errorf("%s: %s has %d lines, and %d are the limit", path, f.Name, n, mostOfFunction)
					}
				}
			}
		}
	}
}

// Names that say nothing are refused before they fill up.
func TestNoPackageOfOddsAndEnds(t *testing.T) {
	for path := range tree(t) {
		switch filepath.Base(path) {
		case "util", "utils", "common", "helpers", "misc", "shared", "types":
			t.Errorf("package %s: name it after what it does", path)
		}
	}
}

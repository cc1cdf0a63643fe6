package bulk_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/color"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/bulk"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/work/worktest"
)

var (
	red  = worktest.Picture(color.RGBA{R: 255, A: 255}, 8, 4)
	blue = worktest.Picture(color.RGBA{B: 255, A: 255}, 8, 4)
)

// tree makes files in a new folder, and returns it.
func tree(t *testing.T, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range files {
		write(t, filepath.Join(dir, name), data)
	}
	return dir
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// from is a source that is not asked to wait.
func from(items bulk.Items) bulk.Source { return func(context.Context) bulk.Items { return items } }

// waiting is a source that yields items and then waits for others.
func waiting(items bulk.Items) bulk.Source {
	return func(ctx context.Context) bulk.Items {
		return bulk.Join(items, func(func(bulk.Item, error) bool) { <-ctx.Done() })
	}
}

func newFinder() *bulk.Finder { return &bulk.Finder{Counts: new(bulk.Counts)} }

// names are those of the items below dir, and errors with a "!" before them.
func names(dir string, items bulk.Items) []string {
	var all []string
	for item, err := range items {
		if err != nil {
			all = append(all, "!"+strings.ReplaceAll(err.Error(), dir, "DIR"))
			continue
		}
		all = append(all, strings.TrimPrefix(item.Name, dir+"/"))
	}
	return all
}

func TestAFolderStandsForItsImages(t *testing.T) {
	dir := tree(t, map[string][]byte{"b.png": red, "a/2.PNG": blue, "a/1": red, "notes.txt": []byte("no"), "out/copy.png": red, "empty.png": nil, "d.Jpg": []byte("no"), "._b.png": []byte("no"), "e.mp4": nil})
	for link, to := range map[string]string{"c.png": "b.png", "loop": ".", "broken.png": "nowhere"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	f := newFinder()
	f.Without = filepath.Join(dir, "out")
	if diff := cmp.Diff([]string{"a/1", "a/2.PNG", "b.png", "c.png", "d.Jpg", "empty.png"}, names(dir, f.Folder(t.Context(), dir))); diff != "" {
		t.Error(diff)
	}
	empty := t.TempDir()
	if diff := cmp.Diff([]string{"!there is no image in DIR"}, names(empty, newFinder().Folder(t.Context(), empty))); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsCountedIsWhatIsFound(t *testing.T) {
	dir := tree(t, map[string][]byte{"a.png": red, "b.png": red, "notes.txt": []byte("no"), "x/c.png": red, "x/d.txt": []byte("no")})
	for want, given := range map[int64][]string{
		3: {dir}, 2: {dir + "/*.*"}, 4: {dir, dir + "/a.png"}, 1: {"https://example.org/x.png"}, 5: {dir + "/**/*.png", dir + "/*.png"},
	} {
		f := newFinder()
		f.Count(t.Context(), given)
		for _, name := range given {
			if !bulk.IsURL(name) {
				names(dir, f.Named(t.Context(), name))
			}
		}
		if got := f.Counts.Found.Load(); got != want || !f.Counts.Counted.Load() {
			t.Errorf("%v: %d, want %d", given, got, want)
		}
	}
}

func TestAHugeFolderIsReadPieceByPiece(t *testing.T) {
	dir := t.TempDir()
	const n = 5000 // more than are read at once
	for i := range n {
		write(t, filepath.Join(dir, fmt.Sprintf("%05d.png", i)), red[:20])
	}
	found := names(dir, newFinder().Folder(t.Context(), dir))
	slices.Sort(found)
	if found = slices.Compact(found); len(found) != n {
		t.Errorf("found %d of %d", len(found), n)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := 0
	for range newFinder().Folder(ctx, dir) {
		if seen++; seen == 10 {
			cancel() // the walk ends soon, also where its reader would go on
		}
	}
	if seen >= n {
		t.Error("the walk went on to its end")
	}
}

func TestPatterns(t *testing.T) {
	dir := tree(t, map[string][]byte{"a.png": red, "b.jpg": red, "x/c.png": red, "x/y/d.png": red, "notes.txt": []byte("no"), "a": []byte("no")})
	for pattern, want := range map[string]string{
		"*.png": "a.png", "*/*.png": "x/c.png", "**/*.png": "a.png x/c.png x/y/d.png", "*": "a.png b.jpg", "x/**": "x/c.png x/y/d.png", "[ab].*": "a.png b.jpg",
		"?.jpg": "b.jpg", "**/y/*": "x/y/d.png", "*.gif": "!no image matches DIR/*.gif", "q/*": "!there is no folder DIR/q",
	} {
		if got := strings.Join(names(dir, newFinder().Named(t.Context(), filepath.Join(dir, pattern))), " "); got != want {
			t.Errorf("%s finds %s, want %s", pattern, got, want)
		}
	}
}

func TestListsAreOfLinesOrOfNamesEndedByZero(t *testing.T) {
	dir := tree(t, map[string][]byte{"a.png": red, "b\nc.png": red, "notes.txt": []byte("no"), "d/e.png": red, "cr\r": red})
	at := func(names ...string) string { return dir + "/" + strings.Join(names, dir+"/") }
	for name, c := range map[string]struct{ list, want string }{
		"lines":              {at("a.png\n", "notes.txt\r\n\n", "d"), "a.png notes.txt d/e.png"},
		"a return in a name": {at("cr\r\x00"), "cr\r"},
		"zero":               {at("b\nc.png\x00", "a.png\x00"), "b\nc.png a.png"},
		"zero, without last": {at("b\nc.png\x00", "a.png"), "b\nc.png a.png"},
		"missing":            {at("x.png\n", "a.png\n"), "!there is no file or folder DIR/x.png a.png"},
		"empty":              {"", ""},
		"endless":            {strings.Repeat("x", 70<<10), "!the list of images broke off: bufio.Scanner: token too long"},
	} {
		if got := strings.Join(names(dir, newFinder().List(t.Context(), strings.NewReader(c.list))), " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	waiting, hold := io.Pipe()
	defer hold.Close()
	cancel()
	names(dir, newFinder().List(ctx, waiting)) // must not wait for a terminal when the run is broken off
}

// bucket is a bucket in memory.
type bucket map[string][]byte

func (b bucket) ListAny(_ context.Context, prefix string) iter.Seq2[blob.Info, error] {
	return func(yield func(blob.Info, error) bool) {
		for _, key := range slices.Sorted(maps.Keys(b)) {
			if strings.HasPrefix(key, prefix) && !yield(blob.Info{Key: key, Size: int64(len(b[key]))}, nil) {
				return
			}
		}
	}
}

func (b bucket) OpenAny(_ context.Context, key string) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(b[key])), nil
}

func TestImagesOfABucket(t *testing.T) {
	b := bucket{"my photos/a": red, "my photos/ü/b.png": blue, "my photos/notes.txt": []byte("no"), "my photos/": nil, "my photos 2/c": red, "d.png": blue}
	for path, want := range map[string]string{
		"my photos":           "my photos/a red\nmy photos/ü/b.png blue\n",
		"my photos/":          "my photos/a red\nmy photos/ü/b.png blue\n",
		"d.png":               "d.png blue\n",
		"my photos/notes.txt": "my photos/notes.txt unsupported_type: s3://b/my photos/notes.txt is not an image: it begins like plain text\n",
		"":                    "d.png blue\nmy photos 2/c red\nmy photos/a red\nmy photos/ü/b.png blue\n",
	} {
		got := results(t, newFinder().Stored(t.Context(), b, path, "s3://b/"))
		if diff := cmp.Diff(want, strings.ReplaceAll("\n"+got, "\ns3://b/", "\n")[1:]); diff != "" {
			t.Errorf("%q: %s", path, diff)
		}
	}
	if diff := cmp.Diff([]string{"!there is nothing at s3://b/none"}, names("DIR", newFinder().Stored(t.Context(), b, "none", "s3://b/"))); diff != "" {
		t.Error(diff)
	}
}

// results classifies items here, and writes each on a line.
func results(t *testing.T, items bulk.Items) string {
	t.Helper()
	out := new(lines)
	run := &bulk.Run{Items: from(items), Engine: bulk.Here(classify.Echo{}, 3), Outputs: []bulk.Output{out}, Counts: new(bulk.Counts), Problem: func(err error) { t.Error(err) }}
	if err := run.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	return out.text.String()
}

// lines keeps results as text.
type lines struct {
	text strings.Builder
	err  error // of the next Put
	n    int
}

func (l *lines) Put(_ context.Context, item bulk.Item, r ocelli.Result) error {
	if l.n++; l.err != nil {
		return l.err
	}
	what := ""
	if r.Error != nil {
		what = string(r.Error.Code) + ": " + r.Error.Message
	} else {
		what = r.Labels[0].Name
	}
	fmt.Fprintf(&l.text, "%s %s\n", item.Name, what)
	return nil
}

func (l *lines) Close() error { return nil }

func TestURLsAreFetched(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/red":
			_, _ = w.Write(red)
		case "/far":
			http.Redirect(w, r, "/red", http.StatusFound)
		case "/large":
			_, _ = w.Write(make([]byte, bulk.MaxImageBytes+1))
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	f := newFinder()
	var sources []bulk.Items
	for _, path := range []string{"/red", "/far", "/none", "/large"} {
		sources = append(sources, f.Named(t.Context(), server.URL+path))
	}
	want := "U/red red\nU/far red\nU/none unavailable: U/none answered 404 Not Found\nU/large too_large: U/large is larger than 32 MB, the limit for one image\n"
	if diff := cmp.Diff(want, strings.ReplaceAll(results(t, bulk.Join(sources...)), server.URL, "U")); diff != "" {
		t.Error(diff)
	}
}

func TestResultsComeInTheOrderOfItems(t *testing.T) {
	files := map[string][]byte{"bad.png": []byte("text")}
	var want strings.Builder
	dir := tree(t, files)
	fmt.Fprintf(&want, "%s/bad.png unsupported_type: %s/bad.png is not an image: it begins like plain text\n", dir, dir)
	sources := []bulk.Items{newFinder().Named(t.Context(), dir+"/bad.png"), bulk.One(newFinder().Input("-", bytes.NewReader(blue)))}
	want.WriteString("- blue\n")
	for i := range 200 {
		path := filepath.Join(dir, fmt.Sprint(i))
		write(t, path, [][]byte{red, blue}[i%2])
		sources = append(sources, bulk.One(bulk.Local(path)))
		fmt.Fprintf(&want, "%s %s\n", path, []string{"red", "blue"}[i%2])
	}
	if diff := cmp.Diff(want.String(), results(t, bulk.Join(sources...))); diff != "" {
		t.Error(diff)
	}
}

func TestHowARunEnds(t *testing.T) {
	dir := tree(t, map[string][]byte{"a.png": red, "b.png": blue, "c.png": red})
	none := errors.New("no such thing")
	folder := func(t *testing.T) bulk.Items { return newFinder().Folder(t.Context(), dir) }
	missing := func(yield func(bulk.Item, error) bool) { yield(bulk.Item{}, none) }
	full := errors.New("disk full")
	fatal := errors.New("no server")
	useless := func(context.Context, func(context.Context) iter.Seq[bulk.Item], func(bulk.Item, ocelli.Result) error) error {
		return fatal
	}
	for name, c := range map[string]struct {
		items    func(*testing.T) bulk.Items
		engine   bulk.Engine
		waits    bool
		err      error // of the output
		want     error
		problems int
		done     int64
		failed   int64
	}{
		"well":                       {items: folder, done: 3},
		"something is missing":       {items: func(t *testing.T) bulk.Items { return bulk.Join(missing, folder(t)) }, want: bulk.ErrMissing, problems: 1, done: 3},
		"one cannot be kept":         {items: folder, err: ocelli.Errorf(ocelli.Conflict, "is there"), problems: 3, done: 3, failed: 3},
		"nothing can be kept":        {items: folder, err: full, want: full},
		"it cannot be classified":    {items: folder, engine: useless, want: fatal},
		"a source does not end":      {items: endless(folder), err: full, want: full},
		"a source waits for nothing": {items: folder, waits: true, err: full, want: full},
	} {
		t.Run(name, func(t *testing.T) {
			problems := 0
			run := &bulk.Run{Items: from(c.items(t)), Engine: c.engine, Outputs: []bulk.Output{&lines{err: c.err}}, Counts: new(bulk.Counts), Problem: func(error) { problems++ }}
			if c.waits {
				run.Items = waiting(c.items(t))
			}
			if run.Engine == nil {
				run.Engine = bulk.Here(classify.Echo{}, 2)
			}
			if err := run.Do(t.Context()); !errors.Is(err, c.want) || problems != c.problems || run.Counts.Done.Load() != c.done || run.Counts.Failed.Load() != c.failed {
				t.Errorf("got %v, %d problems, %d done, %d failed", err, problems, run.Counts.Done.Load(), run.Counts.Failed.Load())
			}
		})
	}
}

// endless goes on after the items until its reader has had enough of it.
func endless(folder func(*testing.T) bulk.Items) func(t *testing.T) bulk.Items {
	return func(t *testing.T) bulk.Items {
		return func(yield func(bulk.Item, error) bool) {
			for {
				for item, err := range folder(t) {
					if !yield(item, err) {
						return
					}
				}
			}
		}
	}
}

func TestARunThatIsBrokenOffKeepsWhatItHadInHand(t *testing.T) {
	dir := tree(t, map[string][]byte{"a.png": red})
	ctx, cancel := context.WithCancel(t.Context())
	out := new(lines)
	begun := 0
	items := func(yield func(bulk.Item, error) bool) {
		for yield(bulk.Local(dir+"/a.png"), nil) {
			if begun++; begun == 5 {
				cancel()
			}
		}
	}
	run := &bulk.Run{Items: from(items), Engine: bulk.Here(classify.Echo{}, 2), Outputs: []bulk.Output{out}, Counts: new(bulk.Counts)}
	if err := run.Do(ctx); !errors.Is(err, bulk.ErrStopped) || out.n != 5 || strings.Count(out.text.String(), " red\n") != 5 {
		t.Errorf("%v; kept are\n%s", err, &out.text)
	}
}

// What comes into a folder while it is walked through is found by the walk and by the watch. It is classified once, unless it is changed in
// between; then it is classified again, whatever an earlier run has done.
func TestWhatComesDuringTheWalkIsClassifiedOnce(t *testing.T) {
	dir := tree(t, map[string][]byte{"a.png": red, "b.png": red, "known.png": red})
	coming := func(yield func(bulk.Item, error) bool) {
		write(t, dir+"/b.png", blue[:40])
		write(t, dir+"/known.png", blue)
		for _, name := range []string{"a.png", "b.png", "known.png", "c.png"} {
			write(t, dir+"/c.png", blue)
			if !yield(bulk.Local(dir+"/"+name), nil) {
				return
			}
		}
	}
	var began []string
	counts := new(bulk.Counts)
	engine := func(ctx context.Context, find func(context.Context) iter.Seq[bulk.Item], _ func(bulk.Item, ocelli.Result) error) error {
		for item := range find(ctx) {
			began = append(began, strings.TrimPrefix(item.Name, dir+"/"))
		}
		return nil
	}
	run := &bulk.Run{Items: from(newFinder().Folder(t.Context(), dir)), Coming: from(coming), Skip: func(item bulk.Item) bool { return strings.HasSuffix(item.Name, "known.png") },
		Engine: engine, Counts: counts}
	if err := run.Do(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a.png", "b.png", "b.png", "known.png", "c.png"}, began); diff != "" {
		t.Error(diff)
	}
	if counts.Skipped.Load() != 1 || counts.Found.Load() != -1 {
		t.Errorf("%d skipped, and %d counted", counts.Skipped.Load(), counts.Found.Load())
	}
}

func TestWhatCouldNotBeCopiedIsNotDone(t *testing.T) {
	dir := tree(t, map[string][]byte{"in/a.png": red, "in/b.png": blue, "sorted/red": []byte("a file in place of the folder")})
	var known bulk.Done
	for turn, want := range []map[string]bool{{"a.png": false, "b.png": true}, {"a.png": true, "b.png": true}} {
		sorter, err := bulk.NewSorter(dir+"/sorted/{label}/", false)
		if err != nil {
			t.Fatal(err)
		}
		file, err := bulk.Resume(dir+"/out.ndjson", bulk.NDJSON{}, known.Add)
		if err != nil {
			t.Fatal(err)
		}
		run := &bulk.Run{Items: from(newFinder().Folder(t.Context(), dir+"/in")), Skip: known.Has, Engine: bulk.Here(classify.Echo{}, 1),
			Outputs: []bulk.Output{sorter, bulk.Sidecar{Suffix: ".json"}, file}, Counts: new(bulk.Counts), Problem: func(error) {}}
		if err := run.Do(t.Context()); err != nil {
			t.Fatal(err)
		}
		if failed, skipped := run.Counts.Failed.Load(), run.Counts.Skipped.Load(); failed != int64(1-turn) || skipped != int64(turn) {
			t.Errorf("turn %d: %d failed, %d skipped", turn, failed, skipped)
		}
		known = bulk.Done{}
		again, err := bulk.Resume(dir+"/out.ndjson", bulk.NDJSON{}, known.Add)
		if err != nil || again.Close() != nil {
			t.Fatal(err)
		}
		for name, done := range want {
			item := bulk.Local(dir + "/in/" + name)
			if beside, _ := (bulk.Sidecar{Suffix: ".json"}).Has(item); beside != done || known.Has(item) != done {
				t.Errorf("turn %d: %s is done in the file: %v, beside it: %v; want %v", turn, name, known.Has(item), beside, done)
			}
		}
		if err := os.RemoveAll(dir + "/sorted/red"); err != nil {
			t.Fatal(err)
		}
	}
}

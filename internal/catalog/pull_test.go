package catalog_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/catalog"
	"github.com/ocelli/ocelli/internal/classify"
)

// weights are what the test model consists of.
var weights = bytes.Repeat([]byte("weights and biases "), 20000)

// entry returns a model whose URL is served by handler.
func entry(t *testing.T, handler http.HandlerFunc) *catalog.Entry {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	sum := sha256.Sum256(weights)
	return &catalog.Entry{Name: "net", URL: server.URL + "/path/net-7.onnx", Size: int64(len(weights)), SHA256: hex.EncodeToString(sum[:]), License: "MIT",
		Card: classify.Card{Name: "net", Labels: classify.CardLabels{Set: "imagenet-1000"}}}
}

// serve answers as a file server does, ranges included.
func serve(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "net.onnx", time.Time{}, bytes.NewReader(content))
	}
}

// cut answers with n more bytes and breaks the connection.
func cut(w http.ResponseWriter, r *http.Request, n int) {
	var start int
	if _, err := fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-", &start); err == nil {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, len(weights)-1, len(weights)))
		w.Header().Set("Content-Length", fmt.Sprint(len(weights)-start))
		w.WriteHeader(http.StatusPartialContent)
	} else {
		w.Header().Set("Content-Length", fmt.Sprint(len(weights)))
	}
	w.Write(weights[start:][:n])
	w.(http.Flusher).Flush()
	panic(http.ErrAbortHandler)
}

func puller() *catalog.Puller { return &catalog.Puller{Pause: time.Millisecond} }

// files lists what lies in dir.
func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func wantPulled(t *testing.T, e *catalog.Entry, dir, path string, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if path != e.Path(dir) {
		t.Errorf("the path is %s, want %s", path, e.Path(dir))
	}
	if err := e.Verify(dir); err != nil {
		t.Error(err)
	}
	if got := files(t, dir); !slices.Equal(got, []string{"net.json", "net.onnx"}) {
		t.Errorf("the folder holds %v", got)
	}
	card, err := classify.ReadCard(filepath.Join(dir, "net.json"))
	if err != nil || card.Labels.Set != "imagenet-1000" {
		t.Errorf("the card is %+v, %v", card, err)
	}
}

func wantNothing(t *testing.T, dir string, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one with %q", err, want)
	}
	if got := files(t, dir); len(got) != 0 {
		t.Errorf("the folder holds %v, want nothing", got)
	}
}

func TestPull(t *testing.T) {
	e, dir, p := entry(t, serve(weights)), t.TempDir(), puller()
	var seen []int64
	p.Progress = func(done, total int64) {
		if total != e.Size {
			t.Errorf("the total is %d, want %d", total, e.Size)
		}
		seen = append(seen, done)
	}
	path, err := p.Pull(t.Context(), e, dir)
	wantPulled(t, e, dir, path, err)
	if !slices.IsSorted(seen) || len(seen) == 0 || seen[len(seen)-1] != e.Size {
		t.Errorf("progress was %v", seen)
	}
}

func TestPullDoesNothingWhereTheModelIsThere(t *testing.T) {
	var calls atomic.Int32
	e := entry(t, func(w http.ResponseWriter, r *http.Request) { calls.Add(1); serve(weights)(w, r) })
	dir := t.TempDir()
	for range 3 {
		path, err := puller().Pull(t.Context(), e, dir)
		wantPulled(t, e, dir, path, err)
	}
	if calls.Load() != 1 {
		t.Errorf("%d requests, want one", calls.Load())
	}
}

func TestPullGoesOnWhereAConnectionWasCut(t *testing.T) {
	var ranges []string
	e := entry(t, func(w http.ResponseWriter, r *http.Request) {
		ranges = append(ranges, r.Header.Get("Range"))
		if len(ranges) < 4 {
			cut(w, r, 50000)
		}
		serve(weights)(w, r)
	})
	dir := t.TempDir()
	path, err := puller().Pull(t.Context(), e, dir)
	wantPulled(t, e, dir, path, err)
	if want := []string{"", "bytes=50000-", "bytes=100000-", "bytes=150000-"}; !slices.Equal(ranges, want) {
		t.Errorf("asked for %q, want %q", ranges, want)
	}
}

func TestPullGoesOnWhereAnotherPullStopped(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var last atomic.Value
	e := entry(t, func(w http.ResponseWriter, r *http.Request) {
		last.Store(r.Header.Get("Range"))
		if r.Header.Get("Range") == "" {
			cut(w, r, 70000)
		}
		serve(weights)(w, r)
	})
	dir, p := t.TempDir(), puller()
	p.Progress = func(done, _ int64) {
		if done == 70000 {
			cancel()
		}
	}
	if _, err := p.Pull(ctx, e, dir); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "resumed") {
		t.Fatalf("Pull: %v", err)
	}
	path, err := puller().Pull(t.Context(), e, dir)
	wantPulled(t, e, dir, path, err)
	if got := last.Load(); got != "bytes=70000-" {
		t.Errorf("asked for %q", got)
	}
}

func TestPullStartsAgainWhereAServerDoesNotDoParts(t *testing.T) {
	var calls atomic.Int32
	e := entry(t, func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Range")
		if calls.Add(1) == 1 {
			cut(w, r, 60000)
		}
		w.Write(weights)
	})
	dir := t.TempDir()
	path, err := puller().Pull(t.Context(), e, dir)
	wantPulled(t, e, dir, path, err)
}

func TestPullGivesUpAndKeepsWhatItHas(t *testing.T) {
	var calls atomic.Int32
	e := entry(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			cut(w, r, 60000)
		}
		http.Error(w, "later", http.StatusServiceUnavailable)
	})
	dir := t.TempDir()
	_, err := puller().Pull(t.Context(), e, dir)
	if err == nil || !strings.Contains(err.Error(), "gave up after 60000") || !strings.Contains(err.Error(), "503") {
		t.Errorf("Pull: %v", err)
	}
	if got := files(t, dir); !slices.Equal(got, []string{".net.part"}) {
		t.Errorf("the folder holds %v", got)
	}
	if calls.Load() != 6 {
		t.Errorf("%d requests, want the first and five more", calls.Load())
	}
}

func TestPullRefusesWhatIsNotTheModel(t *testing.T) {
	other := bytes.Clone(weights)
	other[1000]++
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"another file of the same size": {serve(other), "refused, and nothing was kept"},
		"a file without end": {func(w http.ResponseWriter, _ *http.Request) {
			for range 10000 {
				if _, err := w.Write(weights); err != nil {
					return
				}
			}
		}, "more than the 380000 bytes"},
		"a page instead": {serve([]byte("<html>log in")), "has 12 bytes, not the 380000 of the model"},
		"not there":      {http.NotFound, "404 Not Found"},
	} {
		t.Run(name, func(t *testing.T) {
			e, dir := entry(t, test.handler), t.TempDir()
			_, err := puller().Pull(t.Context(), e, dir)
			wantNothing(t, dir, err, test.want)
		})
	}
}

func TestPullStartsAgainWhereWhatItHasIsOfAnotherFile(t *testing.T) {
	page := bytes.Repeat([]byte("<html>log in"), 300)
	chunked := func(w http.ResponseWriter, _ *http.Request) {
		w.(http.Flusher).Flush()
		w.Write(page)
	}
	for name, test := range map[string]struct {
		held  []byte
		first http.HandlerFunc // for the first request
	}{
		"an earlier pull was of a web page":          {page, serve(weights)},
		"an earlier pull was of one as long":         {bytes.Repeat(page, 200)[:len(weights)], serve(weights)},
		"an earlier pull was of a longer one":        {bytes.Repeat(page, 200), serve(weights)},
		"the first of two servers answers with one":  {nil, chunked},
		"a server has less than an earlier one sent": {page, func(w http.ResponseWriter, r *http.Request) { serve(page[:10])(w, r) }},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			e := entry(t, func(w http.ResponseWriter, r *http.Request) {
				if calls.Add(1) == 1 {
					test.first(w, r)
					return
				}
				serve(weights)(w, r)
			})
			dir := t.TempDir()
			if test.held != nil {
				if err := os.WriteFile(filepath.Join(dir, ".net.part"), test.held, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			path, err := puller().Pull(t.Context(), e, dir)
			wantPulled(t, e, dir, path, err)
		})
	}
}

func TestPullGivesUpWhereNoTryComesFurther(t *testing.T) {
	var calls atomic.Int32
	e := entry(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) > 50 {
			serve(weights)(w, r)
			return
		}
		r.Header.Del("Range") // it does not do parts
		cut(w, r, 60000+40000*int(calls.Load()%2))
	})
	if _, err := puller().Pull(t.Context(), e, t.TempDir()); err == nil || !strings.Contains(err.Error(), "gave up after") {
		t.Errorf("Pull: %v", err)
	}
	if calls.Load() != 6 {
		t.Errorf("%d requests, want the one that came furthest and five more", calls.Load())
	}
}

func TestPullRefusesAnotherPartThanItAskedFor(t *testing.T) {
	var calls atomic.Int32
	e := entry(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			cut(w, r, 60000)
		}
		w.Header().Set("Content-Range", "bytes 5-10/380000")
		w.WriteHeader(http.StatusPartialContent)
	})
	if _, err := puller().Pull(t.Context(), e, t.TempDir()); err == nil || !strings.Contains(err.Error(), "another part") {
		t.Errorf("Pull: %v", err)
	}
}

func TestPullDoesNotWaitForASilentServer(t *testing.T) {
	var calls atomic.Int32
	e := entry(t, func(w http.ResponseWriter, r *http.Request) {
		if calls.Add(1) == 1 {
			w.Header().Set("Content-Length", fmt.Sprint(len(weights)))
			w.Write(weights[:1000])
			w.(http.Flusher).Flush()
			<-r.Context().Done()
			return
		}
		serve(weights)(w, r)
	})
	dir, p := t.TempDir(), puller()
	p.Idle = 200 * time.Millisecond
	path, err := p.Pull(t.Context(), e, dir)
	wantPulled(t, e, dir, path, err)
}

func TestPullReplacesADamagedModel(t *testing.T) {
	e, dir := entry(t, serve(weights)), t.TempDir()
	if err := os.WriteFile(e.Path(dir), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.Verify(dir); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("Verify: %v", err)
	}
	path, err := puller().Pull(t.Context(), e, dir)
	wantPulled(t, e, dir, path, err)
}

func TestPullFromElsewhere(t *testing.T) {
	local := t.TempDir()
	file := filepath.Join(local, "net-7.onnx")
	if err := os.WriteFile(file, weights, 0o600); err != nil {
		t.Fatal(err)
	}
	mirror := httptest.NewServer(http.StripPrefix("/mirror/", http.FileServer(http.Dir(local))))
	defer mirror.Close()
	for name, source := range map[string]string{
		"a mirror":        mirror.URL + "/mirror",
		"a file's URL":    "file://" + file,
		"a folder's URL":  "file://" + local,
		"a file's path":   file,
		"a folder's path": local,
	} {
		t.Run(name, func(t *testing.T) {
			e, dir, p := entry(t, http.NotFound), t.TempDir(), puller()
			p.Source = source
			path, err := p.Pull(t.Context(), e, dir)
			wantPulled(t, e, dir, path, err)
		})
	}
	e, dir, p := entry(t, http.NotFound), t.TempDir(), puller()
	p.Source = "ftp://example.org/models"
	_, err := p.Pull(t.Context(), e, dir)
	wantNothing(t, dir, err, "cannot be pulled from")
	for _, content := range [][]byte{nil, weights[:10], append(weights, 0)} {
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		p.Source = file
		_, err = p.Pull(t.Context(), e, dir)
		wantNothing(t, dir, err, fmt.Sprintf("has %d bytes, not the 380000 of the model", len(content)))
	}
	p.Source = filepath.Join(local, "none")
	_, err = p.Pull(t.Context(), e, dir)
	wantNothing(t, dir, err, "no such file")
}

func TestTwoPullsAtOnce(t *testing.T) {
	started, release := make(chan struct{}), make(chan struct{})
	e := entry(t, func(w http.ResponseWriter, r *http.Request) {
		close(started)
		<-release
		serve(weights)(w, r)
	})
	dir := t.TempDir()
	first := make(chan error)
	go func() {
		_, err := puller().Pull(t.Context(), e, dir)
		first <- err
	}()
	<-started
	if _, err := puller().Pull(t.Context(), e, dir); err == nil || !strings.Contains(err.Error(), "another process is pulling it") {
		t.Errorf("the second pull: %v", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Errorf("the first pull: %v", err)
	}
}

func TestVerifyTellsOfAModelThatIsNotThere(t *testing.T) {
	e := entry(t, http.NotFound)
	if err := e.Verify(t.TempDir()); !errors.Is(err, catalog.ErrNotPulled) || !strings.Contains(err.Error(), "ocelli models pull net") {
		t.Errorf("Verify: %v", err)
	}
}

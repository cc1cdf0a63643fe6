package web_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/ocelli/ocelli"
)

// names are those of the pictures on the page.
const names = `[...document.querySelectorAll("#cards .card")].map((c) => c.querySelector(".name").textContent).join(" ")`

func TestBrowserEveryWayIn(t *testing.T) {
	s := newSite(t, 1000)
	s.work(t, 0, byName)
	address := serve(t, s)
	folder := t.TempDir()
	write := func(name string, body []byte) string {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, body, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	owl, hare := write("owl.png", dot()), write("hare.png", dot())
	write("album/10.png", dot())
	write("album/9.png", dot())
	write("album/notes.txt", []byte("words"))
	packed := pack(t, "elk.png", "fox.png", "gnu.png")
	v := visit(t)
	for _, test := range []struct {
		way, want string
		do        func()
	}{
		{"files", "owl.png hare.png", func() { v.do(chromedp.SetUploadFiles(chromedp.CSS("#image_file"), []string{owl, hare})) }},
		{"camera", "owl.png", func() {
			v.do(chromedp.SetUploadFiles(chromedp.CSS("input[capture=environment]"), []string{owl}, chromedp.NodeReady))
		}},
		{"folder", "9.png 10.png", func() {
			v.do(chromedp.SetUploadFiles(chromedp.CSS("input[webkitdirectory]"), []string{filepath.Join(folder, "album")}, chromedp.NodeReady))
			v.until(`document.getElementById("notice").textContent === "1 file of the folder is no picture and stayed behind."`)
		}},
		{"paste", "shot.png", func() {
			v.run(fmt.Sprintf(`{
				const carried = new DataTransfer();
				carried.items.add(new File([Uint8Array.from(atob(%q), (c) => c.charCodeAt(0))], "shot.png", { type: "image/png" }));
				document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: carried, bubbles: true }));
			}`, base64.StdEncoding.EncodeToString(dot())))
		}},
		{"archive", "elk.png fox.png gnu.png", func() { v.drop(file{name: "zoo.zip", body: packed}) }},
	} {
		v.do(chromedp.Navigate(address))
		v.until(`document.readyState === "complete"`)
		if test.way == "files" || test.way == "folder" || test.way == "camera" {
			opened := fmt.Sprintf(`{
				let opened = "";
				HTMLInputElement.prototype.click = function () { opened = this.id || this.webkitdirectory && "folder" || this.capture && "camera"; };
				document.querySelector("[data-pick=%s]").click();
				opened;
			}`, test.way)
			if got := ask[string](v, opened); got != test.way && got != "image_file" {
				t.Errorf("the button for %s opens %q", test.way, got)
			}
		}
		test.do()
		v.until(fmt.Sprintf(`%s && %s === %q`, `document.getElementById("job-title").textContent.endsWith("recognised")`, names, test.want))
		v.until(`location.pathname.startsWith("/jobs/")`)
	}
}

// pack makes a zip archive of pictures.
func pack(t *testing.T, names ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range names {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(dot())
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestBrowserCancelsAndSendsAgain(t *testing.T) {
	s := newSite(t, 1000)
	hold := make(chan struct{})
	s.work(t, 0, func(task ocelli.Task) ocelli.Result {
		if task.Name == "slow.png" {
			<-hold
		}
		return byName(task)
	})
	defer close(hold)
	v := visit(t)
	v.do(chromedp.Navigate(serve(t, s)))
	v.drop(file{name: "owl.png", body: dot()}, file{name: "slow.png", body: dot()}, file{name: "elk.png", body: dot()})
	v.until(`document.querySelector("[data-place='2']").dataset.state === "running"`)
	v.do(chromedp.Click(chromedp.CSS("[data-act=cancel]")))
	v.until(`document.getElementById("job-title").textContent.startsWith("Cancelled after ")`)
	v.until(`!document.querySelector("[data-act=retry]").hidden`)
	v.accessible()

	// Whatever goes wrong while pictures are sent, they are still there to be sent again.
	v.allowed = "/v1/jobs"
	broken := s.handler.Load()
	refusing := http.NewServeMux()
	refusing.Handle("/", broken)
	refusing.HandleFunc("POST /v1/jobs", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusInsufficientStorage)
		_, _ = w.Write([]byte(`{"detail":"the disk is full: free some space"}`))
	})
	s.handler.Store(refusing)
	v.drop(file{name: "fox.png", body: dot()})
	v.until(`document.getElementById("notice").textContent === "The pictures were not accepted: the disk is full: free some space."`)
	v.until(`document.querySelector("[data-place='1'] .problem").textContent.includes("tries once more")`)
	s.handler.Store(broken)
	v.do(chromedp.Click(chromedp.CSS("[data-act=retry]")))
	v.until(`document.querySelector("[data-place='1'] .name").textContent === "fox.png" && document.querySelector("[data-place='1']").dataset.image`)
}

// An answer that is lost on its way leaves a job behind. Sending the pictures again makes no second one of them.
func TestBrowserSendsAgainWhatMayHaveArrived(t *testing.T) {
	s := newSite(t, 1000)
	s.work(t, 0, byName)
	var deaf atomic.Bool
	deaf.Store(true)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && deaf.Load() {
			s.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		}
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	v := visit(t)
	v.allowed = "/v1/jobs"
	v.do(chromedp.Navigate(server.URL))
	v.drop(file{name: "owl.png", body: dot()}, file{name: "elk.png", body: dot()})
	v.until(`document.getElementById("notice").textContent.startsWith("It is not known whether the pictures arrived")`)
	deaf.Store(false)
	v.do(chromedp.Click(chromedp.CSS("[data-act=retry]")))
	v.until(`document.getElementById("job-title").textContent === "2 pictures recognised" && document.getElementById("notice").hidden`)
	if jobs := s.stored(t, "jobs/"); len(jobs) != 1 {
		t.Errorf("there are the jobs %q, want one", jobs)
	}

	// A key serves one job. What failed in it is sent as another.
	v.drop(file{name: "fox.png", body: dot()})
	v.until(`document.getElementById("job-title").textContent === "1 picture recognised"`)
	if jobs := s.stored(t, "jobs/"); len(jobs) != 2 {
		t.Errorf("there are the jobs %q, want two", jobs)
	}
}

func TestBrowserByKeyboardAlone(t *testing.T) {
	s := newSite(t, 1000)
	s.work(t, 0, landscape)
	address := serve(t, s)
	v := visit(t)
	v.do(chromedp.Navigate(address))
	press := func(key string) {
		t.Helper()
		v.do(chromedp.KeyEvent(key))
	}
	const focused = `(() => { const e = document.activeElement; return e.dataset.pick || e.dataset.link || e.name || e.getAttribute("href") || e.tagName; })()`
	// walk presses Tab until the focus is on wanted, and checks that it can be seen on its way.
	walk := func(wanted string) {
		t.Helper()
		var way []string
		for range 40 {
			press(kb.Tab)
			at := ask[string](v, focused)
			if outline := ask[string](v, `getComputedStyle(document.activeElement).outlineStyle + getComputedStyle(document.activeElement).outlineWidth`); outline != "solid3px" && at != "BODY" {
				t.Errorf("the focus on %s is drawn as %q", at, outline)
			}
			if way = append(way, at); at == wanted {
				return
			}
		}
		t.Fatalf("Tab leads to %q and never to %s", way, wanted)
	}
	walk("#main")
	press(kb.Enter)
	v.until(`document.activeElement.id === "main"`)
	v.run(`HTMLInputElement.prototype.click = function () { document.title = "chooser " + this.id; }`)
	walk("files")
	press(kb.Enter)
	if title := ask[string](v, `document.title`); title != "chooser image_file" {
		t.Errorf("Enter on the button leads to %q", title)
	}
	v.drop(scenes(3)...) // the chooser is the browser's own
	v.until(ended + " === 3")
	walk("csv")
	walk("find")
	v.do(chromedp.KeyEvent("sea"))
	v.until(`document.querySelector("#tools output").textContent.endsWith(" of 3")`)
	for range 3 {
		press(kb.Backspace)
	}
	walk("SUMMARY")
	press(kb.Enter)
	v.until(`document.activeElement.parentElement.open`)
	if n := ask[int](v, `document.activeElement.parentElement.querySelectorAll(".bars li").length`); n != 5 {
		t.Errorf("%d bars are shown, want 5", n)
	}
	if words := ask[string](v, `document.getElementById("spoken").textContent`); words != "3 pictures recognised" {
		t.Errorf("a screen reader is told %q", words)
	}
}

func TestBrowserTakesWhatItHas(t *testing.T) {
	s := newSite(t, 1000)
	s.keepImages = time.Hour
	s.restart(t, 1000)
	s.work(t, 0, landscape)
	v := visit(t)
	v.do(chromedp.Navigate(serve(t, s)))
	v.drop(scenes(4)...)
	v.until(ended + " === 4")
	kept := `/^Pictures are kept until .+, results for ever\.$/.test(document.getElementById("kept").textContent)`
	v.until(kept)
	v.do(chromedp.Reload())
	v.until(kept)
	for kind, want := range map[string]string{"csv": "text/csv", "json": "application/json", "zip": "application/zip"} {
		got := ask[string](v, fmt.Sprintf(`fetch(document.querySelector("[data-link=%s]").href).then(async (r) => r.status + " " + r.headers.get("content-type") + " " + (await r.blob()).size)`, kind))
		if !strings.HasPrefix(got, "200 "+want) || strings.HasSuffix(got, " 0") {
			t.Errorf("%s: got %s, want 200 %s", kind, got, want)
		}
	}
	// Nothing comes from elsewhere, whatever page it is.
	for _, path := range []string{ask[string](v, "location.pathname"), "/", "/fleet", "/model", "/settings", "/health"} {
		v.do(chromedp.Navigate(ask[string](v, "location.origin") + path))
		v.until(`document.readyState === "complete"`)
		foreign := ask[[]string](v, `performance.getEntriesByType("resource").map((e) => e.name).filter((n) => !n.startsWith(location.origin) && !n.startsWith("blob:" + location.origin))`)
		if len(foreign) > 0 {
			t.Errorf("%s: the page fetched %q", path, foreign)
		}
	}
}

func TestBrowserPaintsBeforeScriptsAreThere(t *testing.T) {
	s := newSite(t, 1000)
	release := make(chan struct{})
	var held atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".js") {
			held.Add(1)
			<-release
		}
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	v := visit(t)
	go func() { _ = chromedp.Do(v.ctx, chromedp.Navigate(server.URL)) }() // which ends when the scripts are there
	v.until(`performance.getEntriesByName("first-contentful-paint").length === 1`)
	v.until(`getComputedStyle(document.querySelector("[data-pick=files]")).display !== "none"`)
	if held.Load() == 0 {
		t.Error("no script was held back")
	}
	close(release)
	v.until(`document.readyState === "complete"`)
	v.still()
	if paint := ask[float64](v, `performance.getEntriesByName("first-contentful-paint")[0].startTime`); paint <= 0 {
		t.Errorf("the first paint came at %g ms", paint)
	}
}

// While the last pictures are still being sent, the first have their labels.
func TestBrowserShowsResultsWhileItSends(t *testing.T) {
	s := newSite(t, 1000)
	s.work(t, 0, byName)
	rest := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			r.Body = &halting{ReadCloser: r.Body, before: r.ContentLength / 2, rest: rest}
		}
		s.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	v := visit(t)
	v.do(chromedp.Navigate(server.URL))
	v.drop(file{name: "owl.png", body: dot()}, file{name: "elk.png", body: dot()}, file{name: "long.jpg", body: append(scene(1), make([]byte, 400<<10)...)})
	v.until(ended + " === 2")
	v.until(`document.querySelector(".pace").textContent.endsWith("· 2 recognised already")`)
	if title := ask[string](v, `document.getElementById("job-title").textContent`); title != "Sending 3 pictures" {
		t.Errorf("the headline reads %q", title)
	}
	v.run("shifts = []")
	close(rest)
	v.until(`document.getElementById("job-title").textContent === "3 pictures recognised"`)
	v.until(`location.pathname.startsWith("/jobs/") && document.querySelectorAll("#cards .card[data-image]").length === 3`)
	v.still()
}

// halting is a body of which no more than so many bytes come before rest is closed.
type halting struct {
	io.ReadCloser
	before int64
	rest   <-chan struct{}
}

func (h *halting) Read(p []byte) (int, error) {
	if h.before <= 0 {
		<-h.rest
	} else {
		p = p[:min(int64(len(p)), h.before)]
	}
	n, err := h.ReadCloser.Read(p)
	h.before -= int64(n)
	return n, err
}

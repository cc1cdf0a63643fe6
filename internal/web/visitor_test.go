package web_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/systeminfo"
	"github.com/chromedp/chromedp"

	"github.com/ocelli/ocelli/internal/thumb"
)

var (
	shots = flag.String("shots", "", "folder to put screenshots into")
	// Not for looking at, but for the documentation.
	pictures = flag.String("pictures", "", "folder to put the screenshots of the documentation into")
)

// chromium is the one browser of all tests. TestMain ends it.
var chromium struct {
	once sync.Once
	ctx  context.Context
	err  error
	end  []func()
}

// thumbs makes the small copies of all sites. Its children are this very program.
var thumbs *thumb.Maker

func TestMain(m *testing.M) {
	if os.Args[len(os.Args)-1] == "thumbnails" {
		_ = thumb.Serve(os.Stdin, os.Stdout)
		os.Exit(0)
	}
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	thumbs = thumb.NewMaker([]string{self, "thumbnails"}, os.Stderr, slog.Default())
	code := m.Run()
	for i := range chromium.end {
		chromium.end[len(chromium.end)-1-i]()
	}
	os.Exit(code)
}

func startChromium() {
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		chromium.err = errors.New("no Chromium on this machine: install it to run the tests of the pages in a browser")
		return
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true))
	ctx, endAll := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, endFirst := chromedp.NewContext(ctx)
	chromium.end = []func(){endAll, endFirst}
	chromium.ctx = ctx
	if err := chromedp.Do(ctx); err != nil {
		chromium.err = fmt.Errorf("starting %s: %w", path, err)
	}
}

// visitor is somebody with a browser profile of their own.
type visitor struct {
	t       *testing.T
	ctx     context.Context
	allowed string // end of an address that is meant to fail; set before it is visited
}

// watchShifts notes what moves on a page without the visitor's doing.
const watchShifts = `shifts = []; new PerformanceObserver((list) => {
	for (const s of list.getEntries()) {
		if (!s.hadRecentInput) shifts.push(s.value + " " + s.sources.map((x) => [x.node?.nodeName, x.node?.id || x.node?.className, x.node?.parentElement?.className, JSON.stringify(x.previousRect), JSON.stringify(x.currentRect)].join(" ")));
	}
}).observe({ type: "layout-shift", buffered: true })`

// visit opens a fresh profile, or skips the test where there is no browser. What its pages complain about on the console fails the test.
func visit(t *testing.T) *visitor {
	t.Helper()
	chromium.once.Do(startChromium)
	if chromium.err != nil && testTools != "" {
		t.Fatal(chromium.err)
	}
	if chromium.err != nil {
		t.Skip(chromium.err)
	}
	ctx, cancel := chromedp.NewContext(chromium.ctx, chromedp.WithNewBrowserContext())
	v := &visitor{t: t, ctx: ctx}
	// The tab lives as long as the context of the first command.
	if err := chromedp.Do(ctx, chromedp.EmulateViewport(1280, 900)); err != nil {
		t.Fatal(err)
	}
	call(v, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: watchShifts})
	said := make(chan struct{})
	console := chromedp.Console(ctx)
	go func() {
		defer close(said)
		for m, err := range console {
			if err != nil {
				return
			}
			if strings.Contains(m.Text, "ERR_CONNECTION_REFUSED") {
				continue // the test is over, and its server gone before its page
			}
			if strings.Contains(m.Text, "404") && strings.Contains(m.URL, "/v1/uploads/") {
				continue // the page asks for its upload until the request has reached the server, and a browser notes each answer
			}
			if (m.Type == "error" || m.Exception != nil) && (v.allowed == "" || !strings.HasSuffix(m.URL, v.allowed)) {
				t.Errorf("the page complained: %s %s", m.Text, m.URL)
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-said
	})
	return v
}

// patience is how long a browser on a busy machine may take for one thing.
const patience = 2 * time.Minute

func (v *visitor) do(steps ...chromedp.Action[chromedp.Void]) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		v.t.Fatal(err)
	}
}

// call gives the browser a command of its protocol.
func call[P, R any](v *visitor, command cdp.Command[P, R], params P) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	if _, err := chromedp.Call(ctx, command, params); err != nil {
		v.t.Fatal(err)
	}
}

// ask evaluates a script.
func ask[T any](v *visitor, script string) T {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	answer, err := chromedp.Run(ctx, chromedp.Evaluate[T](script, chromedp.EvalAwaitPromise))
	if err != nil {
		v.t.Fatalf("%.300s: %v", script, err)
	}
	return answer
}

// run evaluates a script for what it does.
func (v *visitor) run(script string) {
	v.t.Helper()
	ask[chromedp.Void](v, script)
}

// until waits until the script is true.
func (v *visitor) until(script string) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.ctx, patience)
	defer cancel()
	poll := chromedp.Poll[chromedp.Void](script, chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(0))
	_, err := chromedp.Run(ctx, poll)
	// It may become true on another page.
	for err != nil && ctx.Err() == nil && (strings.Contains(err.Error(), "navigated") || strings.Contains(err.Error(), "Cannot find context")) {
		_, err = chromedp.Run(ctx, poll)
	}
	if err != nil {
		v.t.Fatalf("waiting for %s: %v\n%.1500s", script, err, ask[string](v, `document.querySelector("main").innerText`))
	}
}

// cpu is the time that the processes of the browser have spent on pages, in seconds.
func cpu(t *testing.T) float64 {
	t.Helper()
	info, err := chromedp.CallBrowser(chromium.ctx, systeminfo.GetProcessInfo, cdp.Empty{})
	if err != nil {
		t.Fatal(err)
	}
	spent := 0.0
	for _, process := range info.ProcessInfo {
		if process.Type == "renderer" {
			spent += process.CPUTime
		}
	}
	return spent
}

// look makes the browser prefer a colour scheme; "" is its own.
func (v *visitor) look(scheme string) {
	v.t.Helper()
	features := []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}
	call(v, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
	// Colours change gradually, and a check or a picture should not fall in between.
	// Where no frames are drawn they never end.
	v.run(`Promise.race([new Promise((enough) => setTimeout(enough, 3000)),
		Promise.allSettled(document.getAnimations().filter((a) => a instanceof CSSTransition).map((a) => a.finished))])`)
}

// gallery are the pictures of the documentation: which screenshot each is.
var gallery = map[string]string{
	"empty": "start", "running": "running", "done-dark": "done-dark", "failed": "failed", "fleet": "fleet", "fleet-dark": "fleet-dark", "model": "model",
	"settings": "settings", "phone-empty-dark": "phone-start-dark", "phone": "phone", "phone-fleet": "phone-fleet",
}

// shot keeps a screenshot where a flag asks for it, light and dark.
func (v *visitor) shot(name string) {
	v.t.Helper()
	keep := func(path, format string, quality int64) {
		picture, err := chromedp.Call(v.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormat(format), Quality: &quality})
		if err == nil {
			err = os.WriteFile(path, picture.Data, 0o644)
		}
		if err != nil {
			v.t.Fatal(err)
		}
	}
	v.until(`[...document.images].every((i) => i.complete || i.getBoundingClientRect().top > innerHeight || i.getBoundingClientRect().bottom < 0)`)
	for suffix, scheme := range map[string]string{"": "light", "-dark": "dark"} {
		file := gallery[name+suffix]
		if *shots == "" && (*pictures == "" || file == "") {
			continue
		}
		v.look(scheme)
		if *shots != "" {
			keep(filepath.Join(*shots, name+suffix+".png"), "png", 100)
		}
		if *pictures != "" && file != "" {
			keep(filepath.Join(*pictures, file+".webp"), "webp", 82)
		}
	}
	v.look("")
}

// phone makes the window that of a phone.
func (v *visitor) phone() {
	v.t.Helper()
	v.do(chromedp.EmulateViewport(390, 844, chromedp.EmulateMobile, chromedp.EmulateTouch))
}

// testTools is the folder of the tools that tests need; "" where they were not installed, and what needs them is left out.
var testTools = os.Getenv("OCELLI_TEST_TOOLS")

// axe is the script that checks pages for accessibility: the npm package axe-core.
var axe = sync.OnceValues(func() (string, error) {
	text, err := os.ReadFile(filepath.Join(testTools, "node_modules/axe-core/axe.min.js"))
	return string(text), err
})

// accessible fails the test for each rule of accessibility that the page breaks.
func (v *visitor) accessible() {
	v.t.Helper()
	if testTools == "" {
		return
	}
	tool, err := axe()
	if err != nil {
		v.t.Fatal(err)
	}
	for _, scheme := range []string{"light", "dark"} {
		v.look(scheme)
		v.run(tool)
		found := ask[string](v, `axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }).then((r) =>
			r.violations.map((x) => x.id + ": " + x.help + " " + x.nodes.slice(0, 4).map((n) => n.target + " " + n.failureSummary).join("; ")).join("\n"))`)
		if found != "" {
			v.t.Errorf("%s:\n%s", scheme, found)
		}
	}
	v.look("")
}

// still fails the test where something on the page moved without the visitor's doing.
func (v *visitor) still() {
	v.t.Helper()
	if moved := ask[[]string](v, "shifts"); len(moved) > 0 {
		v.t.Errorf("things moved on the page: %q", moved)
	}
}

// drop drops files on the page.
func (v *visitor) drop(files ...file) {
	v.t.Helper()
	type encoded struct{ Name, Body string }
	var all []encoded
	for _, f := range files {
		all = append(all, encoded{f.name, base64.StdEncoding.EncodeToString(f.body)})
	}
	list, err := json.Marshal(all)
	if err != nil {
		v.t.Fatal(err)
	}
	v.run(fmt.Sprintf(`{
		const carried = new DataTransfer();
		for (const { Name, Body } of %s) carried.items.add(new File([Uint8Array.from(atob(Body), (c) => c.charCodeAt(0))], Name));
		for (const kind of ["dragenter", "dragover", "drop"]) {
			document.querySelector("main").dispatchEvent(new DragEvent(kind, { dataTransfer: carried, bubbles: true, cancelable: true }));
		}
	}`, list))
}

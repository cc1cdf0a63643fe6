package web_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/scale"
)

// scenes are n landscapes.
func scenes(n int) []file {
	files := make([]file, n)
	for i := range files {
		files[i] = file{name: fmt.Sprintf("IMG_%04d.jpg", 4100+i), body: scene(i)}
	}
	return files
}

// landscape answers like a network that has an idea of landscapes.
func landscape(task ocelli.Task) ocelli.Result {
	_, place, _ := task.Image.Split()
	rnd := rand.New(rand.NewPCG(uint64(place), 3))
	score := 0.45 + 0.54*rnd.Float64()
	first := rnd.IntN(len(places))
	r := ocelli.Result{Model: &ocelli.Model{Name: "test model"}}
	for i := range places {
		parents := []string{"geological formation", "natural object"}
		r.Labels = append(r.Labels, ocelli.Label{Name: places[(first+i)%len(places)], Score: score, Parents: parents})
		score = (1 - score) * 0.6 / float64(i+1)
	}
	return r
}

const ended = `document.querySelectorAll("#cards [data-state=done], #cards [data-state=failed]").length`

func serve(t *testing.T, s *site) string {
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	return server.URL
}

func TestBrowserDropsPicturesAndComesBack(t *testing.T) {
	s := newSite(t, 1000)
	hold, seen := make(chan struct{}), 0
	s.work(t, 60*time.Millisecond, func(task ocelli.Task) ocelli.Result {
		if seen++; seen == 9 {
			<-hold
		}
		if task.Name == "torn.jpg" {
			return fails(ocelli.CorruptImage, "torn.jpg is cut short: it begins like JPEG and ends too early")
		}
		return landscape(task)
	})
	v := visit(t)
	v.do(chromedp.Navigate(serve(t, s)))
	v.until(`document.readyState === "complete"`)
	v.shot("empty")
	v.accessible()
	v.phone()
	v.shot("phone-empty")
	v.do(chromedp.EmulateViewport(1280, 900))

	files := append(scenes(18), file{name: "notes.jpg", body: []byte("these are only words")}, file{name: "torn.jpg", body: scene(40)[:6000]})
	v.drop(files...)
	v.until(`document.querySelectorAll("#cards .frame img[src^='blob:']").length > 5`)
	v.run("shifts = []") // the drop itself moves things, and was asked for
	v.until(`document.querySelectorAll("#cards [data-state=running]").length === 1`)
	v.until(ended + " === 9") // one of them is the text file, which no worker sees
	v.shot("running")
	close(hold)
	v.until(ended + " === 20")
	v.until(`document.getElementById("job-title").textContent === "18 of 20 pictures recognised, 2 not"`)
	v.still()
	v.shot("done")
	v.accessible()
	v.phone()
	v.shot("phone")
	v.accessible()
	v.do(chromedp.EmulateViewport(1280, 900))
	if words := ask[string](v, `document.querySelector("[data-place='19'] .problem").textContent`); !strings.Contains(words, "notes.jpg is not an image") {
		t.Errorf("the words about a text file are %q", words)
	}

	shown := `[...document.querySelectorAll("#cards .card")].map((c) => c.querySelector(".label").textContent + c.querySelector(".score").textContent + c.querySelector(".name").textContent + c.querySelector(".bars").textContent).join("|")`
	before := ask[string](v, shown)
	s.restart(t, 1000)
	v.do(chromedp.Reload())
	v.until(ended + " === 20")
	if after := ask[string](v, shown); after != before {
		t.Errorf("after a restart and a reload the page shows\n%s\nand before it showed\n%s", after, before)
	}
	v.run(`document.querySelector("[data-place='19']").scrollIntoView()`)
	v.until(`document.querySelector("[data-place='1'] img").naturalWidth === 432`) // of 480: a small copy
	v.until(`document.querySelector("[data-act=retry]").hidden`)                   // neither would be any better
	v.shot("failed")
	v.accessible()
}

func TestBrowserTwoVisitorsSeeTheirOwn(t *testing.T) {
	s := newSite(t, 1000)
	s.work(t, 20*time.Millisecond, byName)
	address := serve(t, s)
	names := `[...document.querySelectorAll("#cards .label")].map((x) => x.textContent).join(" ")`
	one, other := visit(t), visit(t)
	one.do(chromedp.Navigate(address))
	other.do(chromedp.Navigate(address))
	one.drop(file{name: "owl.png", body: dot()}, file{name: "hare.png", body: dot()}, file{name: "fox.png", body: dot()})
	other.drop(file{name: "oak.png", body: dot()}, file{name: "elm.png", body: dot()})
	one.until(ended + " === 3")
	other.until(ended + " === 2")
	for _, test := range []struct {
		v    *visitor
		want string
	}{{one, "owl hare fox"}, {other, "oak elm"}} {
		if got := ask[string](test.v, names); got != test.want {
			t.Errorf("a visitor sees %q, want %q", got, test.want)
		}
		test.v.do(chromedp.Navigate(address))
		test.v.until(`document.querySelectorAll("#recent li").length === 1`)
	}
	if _, err := chromedp.RunResponse(one.ctx, chromedp.Click(chromedp.CSS("#recent a"))); err != nil {
		t.Fatal(err)
	}
	one.until(`document.getElementById("job-title").textContent === "3 pictures recognised"`)
}

func TestBrowserWithoutScripts(t *testing.T) {
	s := newSite(t, 1000)
	answer := make(chan struct{})
	s.work(t, 0, func(task ocelli.Task) ocelli.Result {
		<-answer
		return landscape(task)
	})
	v := visit(t)
	call(v, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	v.do(chromedp.Navigate(serve(t, s)))
	v.shot("plain-empty")
	folder, paths := t.TempDir(), []string{}
	for _, f := range scenes(6) {
		path := filepath.Join(folder, f.name)
		if err := os.WriteFile(path, f.body, 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	v.do(chromedp.SetUploadFiles(chromedp.CSS("#image_file"), paths))
	go func() {
		for range 6 {
			answer <- struct{}{}
		}
	}()
	if _, err := chromedp.RunResponse(v.ctx, chromedp.Click(chromedp.CSS(".plain button"))); err != nil {
		t.Fatal(err)
	}
	text, err := chromedp.Run(v.ctx, chromedp.Text(chromedp.CSS("#job")))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"6 pictures recognised", "IMG_4105.jpg", "CSV"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	v.shot("plain-done")
}

func TestBrowserFindsOrdersAndSendsAgain(t *testing.T) {
	s := newSite(t, 1000)
	var mended atomic.Bool
	s.work(t, 0, func(task ocelli.Task) ocelli.Result {
		name, rest, _ := strings.Cut(task.Name, ".")
		if name == "snail" && !mended.Load() {
			return fails(ocelli.GaveUp, task.Name+" was given up: send it again later")
		}
		return sees(name, 0.3+float64(len(rest))/20)
	})
	v := visit(t)
	v.do(chromedp.Navigate(serve(t, s)))
	v.drop(file{name: "owl.png", body: dot()}, file{name: "fox.jpeg", body: dot()}, file{name: "snail.png", body: dot()}, file{name: "owl.x.jpeg", body: dot()})
	v.until(ended + " === 4")

	choose := func(field, value string) {
		v.run(fmt.Sprintf(`{ const f = document.getElementById("tools").elements[%q]; f.value = %q; f.dispatchEvent(new Event("input", { bubbles: true })) }`, field, value))
	}
	shown := func() string {
		return ask[string](v, `[...document.querySelectorAll("#cards > li:not([hidden])")].map((x) => x.querySelector(".name")?.textContent ?? x.textContent).join(" ")`)
	}
	for _, test := range []struct{ field, value, want string }{
		{"find", "owl", "owl.png owl.x.jpeg"},
		{"find", "thing", "owl.png fox.jpeg owl.x.jpeg"},
		{"find", "", "owl.png fox.jpeg snail.png owl.x.jpeg"},
		{"show", "failed", "snail.png"},
		{"show", "", "owl.png fox.jpeg snail.png owl.x.jpeg"},
		{"order", "sure", "owl.x.jpeg fox.jpeg owl.png snail.png"},
		{"order", "label", "fox 1 fox.jpeg owl 2 owl.x.jpeg owl.png without a label 1 snail.png"},
		{"order", "place", "owl.png fox.jpeg snail.png owl.x.jpeg"},
	} {
		choose(test.field, test.value)
		if got := shown(); got != test.want {
			t.Errorf("with %s %q the page shows %q, want %q", test.field, test.value, got, test.want)
		}
	}

	// After a reload the page has to fetch what it sends. Clicking twice sends it once.
	mended.Store(true)
	v.do(chromedp.Reload())
	v.until(`!document.querySelector("[data-act=retry]").hidden`)
	v.run(`document.querySelector("[data-act=retry]").click(), document.querySelector("[data-act=retry]").click()`)
	v.until(`document.getElementById("job-title").textContent === "1 picture recognised"`)
	if got := shown(); got != "snail.png" {
		t.Errorf("after sending again the page shows %q", got)
	}
	if jobs := s.stored(t, "jobs/"); len(jobs) != 2 {
		t.Errorf("there are the jobs %q, want two", jobs)
	}
}

func several(workers int) string {
	if workers == 1 {
		return "1 worker"
	}
	return fmt.Sprint(workers, " workers")
}

// busy is a fleet so many seconds after a thousand pictures came.
func busy(second int64) ocelli.Status {
	wanted := int(min(1+second, 6))
	backlog := max(0, 1000-second*second/3)
	st := ocelli.Status{
		Ready: max(0, backlog-int64(4*wanted)), Leased: min(backlog, int64(4*wanted)), OldestAge: float64(second), Rate: float64(min(18*wanted, 6*int(second))), Wanted: wanted, Max: 8,
		Reason: fmt.Sprintf("%d images wait; %s at 18 img/s finish in %.1f s: %s", backlog, several(wanted), float64(backlog)/18/float64(wanted), several(wanted)),
		Model:  &ocelli.Model{Name: "ocelli-200"},
	}
	for i := range wanted {
		state := ocelli.WorkerBusy
		if i == wanted-1 {
			state = ocelli.WorkerStarting
		}
		w := ocelli.Worker{Name: fmt.Sprintf("ocelli-worker-%d", i+1), PID: 100, State: state, Since: time.Now().Add(-2 * time.Second)}
		if state == ocelli.WorkerBusy {
			w.Holding, w.Done, w.Rate = 4, second*int64(18-i), 18.2-float64(i)/3
		}
		st.Workers = append(st.Workers, w)
	}
	return st
}

func TestBrowserShowsTheFleet(t *testing.T) {
	s := newSite(t, 1000)
	var asked atomic.Int64
	s.status = func() ocelli.Status { return busy(asked.Add(1)) }
	s.journal = decisions()
	v := visit(t)
	v.allowed = "/fleet"
	v.do(chromedp.Navigate(serve(t, s) + "/fleet"))
	v.until(`document.querySelectorAll(".workers li").length >= 2`)
	if *shots != "" || *pictures != "" {
		v.do(chromedp.Sleep(45 * time.Second)) // a line of two points is no picture
	}
	v.until(`document.querySelectorAll(".workers [data-state=busy]").length >= 5`)
	if line := ask[string](v, `document.querySelector(".lines .stroke").getAttribute("d")`); !strings.Contains(line, "L") {
		t.Errorf("the line of the backlog is %q", line)
	}
	if words := ask[string](v, `document.querySelector(".entries").innerText`); !strings.Contains(words, "1 → 3 workers") || !strings.Contains(words, "1000 images wait; 3 workers") || !strings.Contains(words, "started ocelli-worker-2, ocelli-worker-3") {
		t.Errorf("the time line reads %q", words)
	}
	v.shot("fleet")
	v.accessible()
	v.phone()
	v.shot("phone-fleet")
	v.accessible()

	// What the server does not answer is said, and asked for again.
	s.handler.Store(http.NewServeMux())
	v.until(`!document.getElementById("lost").hidden`)
	s.restart(t, 1000)
	v.until(`document.getElementById("lost").hidden`)
}

func TestBrowserShowsThatThereIsNothing(t *testing.T) {
	s := newSite(t, 1000)
	v := visit(t)
	v.allowed = "/nowhere"
	address := serve(t, s)
	v.do(chromedp.Navigate(address + "/nowhere"))
	v.shot("missing")
	v.accessible()
	v.do(chromedp.Navigate(address + "/fleet"))
	v.shot("fleet-empty")
	v.accessible()
}

// decisions are those of a fleet that grew and shrank.
func decisions() []scale.Decision {
	at := time.Now().Add(-90 * time.Second)
	decision := func(want int, reason string, done fleet.Change) scale.Decision {
		at = at.Add(20 * time.Second)
		return scale.Decision{Want: want, Reason: reason, Seen: scale.Seen{Now: at}, Done: &done}
	}
	return []scale.Decision{
		decision(1, "4 images wait; 1 worker at 20 img/s finishes in 0.5 s: 1 worker", fleet.Change{Launched: []string{"ocelli-worker-1"}}),
		decision(3, "1000 images wait; 3 workers at 18 img/s finish in 18.6 s, 2 in 27.8 s: 3 workers", fleet.Change{Launched: []string{"ocelli-worker-2", "ocelli-worker-3"}}),
		decision(3, "a third reason for the same three", fleet.Change{}),
		decision(6, "990 images wait; 6 workers at 18 img/s finish in 9.2 s, 5 in 11.0 s: 6 workers", fleet.Change{Launched: []string{"ocelli-worker-4", "ocelli-worker-5", "ocelli-worker-6"}}),
	}
}

func TestBrowserShowsTheModel(t *testing.T) {
	s := newSite(t, 1000)
	s.network = knownNetwork(t)
	s.status = func() ocelli.Status {
		return ocelli.Status{Model: &ocelli.Model{Name: s.network.Card.Name, SHA256: s.network.Card.SHA256,
			Preprocessing: "short side 80 bilinear antialiased, centre 80×80, RGB NCHW float32, (x×0.00392157-[0.485 0.456 0.406])÷[0.229 0.224 0.225]"}}
	}
	v := visit(t)
	v.do(chromedp.Navigate(serve(t, s) + "/model"))
	v.shot("model")
	v.accessible()
	shown := `[...document.querySelectorAll("#classes li:not([hidden]) b")].map((x) => x.textContent).join(", ")`
	v.run(`{ const f = document.querySelector("#find input"); f.value = "Retriever"; f.dispatchEvent(new Event("input", { bubbles: true })) }`)
	if got := ask[string](v, shown); got != "golden retriever, Labrador retriever" {
		t.Errorf("of retrievers the page shows %q", got)
	}
	if got := ask[string](v, `document.querySelector("#find output").textContent`); got != "2 of 200 classes" {
		t.Errorf("the count reads %q", got)
	}
	v.run(`{ const f = document.querySelector("#find input"); f.value = "unicorn"; f.dispatchEvent(new Event("input", { bubbles: true })) }`)
	if ask[bool](v, `document.getElementById("none").hidden`) {
		t.Error("nothing says that there are no unicorns")
	}
	v.phone()
	v.shot("phone-model")
	v.accessible()
}

// A thousand pictures in one drop are to stay smooth: the longest gap between two frames while results come is reported.
func TestBrowserThousandPictures(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand pictures take a while")
	}
	s := newSite(t, 2000)
	s.work(t, 0, landscape)
	v := visit(t)
	v.do(chromedp.Navigate(serve(t, s)))
	v.run(`{
		const bytes = Uint8Array.from(atob("` + base64.StdEncoding.EncodeToString(scene(1)) + `"), (c) => c.charCodeAt(0));
		carried = new DataTransfer();
		for (let i = 1; i <= 1000; i++) carried.items.add(new File([bytes], i + ".jpg"));
	}`)
	before := cpu(t)
	v.run(`{
		gaps = [];
		let before = performance.now();
		const frame = (now) => { gaps.push(now - before); before = now; requestAnimationFrame(frame); };
		requestAnimationFrame(frame);
		document.querySelector("main").dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
	}`)
	v.until(`document.querySelectorAll("#cards .card").length === 1000`)
	v.run("shifts = []")
	v.until(ended + " === 1000")
	v.still()
	spent := cpu(t) - before
	shown := ask[int](v, `document.querySelectorAll("#cards img[src]").length`)
	if shown > 100 {
		t.Errorf("%d pictures are decoded at once", shown)
	}
	t.Logf("%.2f s of the processor for a page of 1,000; %s; %d pictures decoded", spent, ask[string](v, `gaps.sort((a, b) => a - b), "frames in ms: median " + gaps[gaps.length >> 1].toFixed(1) +
		", 99 % " + gaps[Math.floor(gaps.length * .99)].toFixed(1) + ", longest " + gaps.at(-1).toFixed(0) +
		"; script memory " + (performance.memory.usedJSHeapSize / 2**20).toFixed(1) + " MiB"`), shown)
}

package web_test

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/systeminfo"
	"github.com/chromedp/chromedp"
)

var measure = flag.Bool("measure", false, "measure the page with a thousand photos of twelve million pixels, which takes minutes; see docs/pages.md")

// photo is a large JPEG, like those of a phone: grain makes it as heavy.
func photo(width, height int) []byte {
	m := image.NewYCbCr(image.Rect(0, 0, width, height), image.YCbCrSubsampleRatio420)
	seed := uint32(1)
	for y := range height {
		for x := range width {
			seed = seed*1664525 + 1013904223
			m.Y[y*m.YStride+x] = uint8(60 + 120*y/height + int(seed>>29))
		}
	}
	for i := range m.Cb {
		m.Cb[i], m.Cr[i] = color.Gray{Y: uint8(110 + i%40)}.Y, 140
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, m, &jpeg.Options{Quality: 70}); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// watchFrames notes how long each frame takes.
const watchFrames = `{
	gaps = [];
	let before = performance.now();
	const frame = (now) => { gaps.push(now - before); before = now; requestAnimationFrame(frame); };
	requestAnimationFrame(frame);
}`

// frames tells of the frames since the last call.
func (v *visitor) frames() string {
	v.t.Helper()
	return ask[string](v, `(() => {
		const g = gaps.splice(0).sort((a, b) => a - b);
		const at = (q) => g[Math.min(g.length - 1, Math.floor(g.length * q))].toFixed(0);
		return g.length + " frames, ms: median " + at(.5) + ", 95 % " + at(.95) + ", 99 % " + at(.99) + ", longest " + g.at(-1).toFixed(0);
	})()`)
}

// memory is what the processes that show pages hold for themselves, in MiB.
func (v *visitor) memory() float64 {
	v.t.Helper()
	info, err := chromedp.CallBrowser(chromium.ctx, systeminfo.GetProcessInfo, cdp.Empty{})
	if err != nil {
		v.t.Fatal(err)
	}
	private := regexp.MustCompile(`(?m)^Private_(?:Clean|Dirty): +(\d+) kB`)
	most := 0.0
	for _, process := range info.ProcessInfo {
		if process.Type != "renderer" {
			continue
		}
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", process.ID))
		if err != nil {
			continue
		}
		sum := 0.0
		for _, m := range private.FindAllSubmatch(text, -1) {
			kb, _ := strconv.ParseFloat(string(m[1]), 64)
			sum += kb / 1024
		}
		most = max(most, sum)
	}
	return most
}

func TestBrowserMeasuresAThousandPhotos(t *testing.T) {
	if !*measure {
		t.Skip("this measures, and checks nothing: run it with -measure")
	}
	s := newSite(t, 2000)
	s.requestBytes, s.imageBytes = 16<<30, 64<<20
	s.restart(t, 2000)
	s.work(t, 5*time.Millisecond, landscape)
	folder := t.TempDir()
	body := photo(4000, 3000)
	first := filepath.Join(folder, "0001.jpg")
	if err := os.WriteFile(first, body, 0o600); err != nil {
		t.Fatal(err)
	}
	paths := []string{first}
	for i := 2; i <= 1000; i++ {
		path := filepath.Join(folder, fmt.Sprintf("%04d.jpg", i))
		if err := os.Link(first, path); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	load, _ := os.ReadFile("/proc/loadavg")
	t.Logf("1,000 photos of 4000 × 3000, %.1f MB each; load of the machine before: %s", float64(len(body))/1e6, strings.TrimSpace(string(load)))
	v := visit(t)
	v.do(chromedp.Navigate(serve(t, s)))
	v.until(`document.readyState === "complete"`)
	t.Logf("start page: %.0f MiB", v.memory())
	v.run(watchFrames)
	v.do(chromedp.SetUploadFiles(chromedp.CSS("#image_file"), paths))
	v.until(`document.querySelectorAll("#cards .card").length === 1000`)
	t.Logf("laid: %s; %.0f MiB", v.frames(), v.memory())
	v.run("shifts = []")
	v.until(ended + " > 100")
	t.Logf("sent, and the first results: %s; %.0f MiB", v.frames(), v.memory())
	v.until(ended + " === 1000")
	t.Logf("results: %s; %.0f MiB", v.frames(), v.memory())
	v.still()
	scroll := `new Promise((done) => {
		const step = () => { scrollBy(0, 60); scrollY + innerHeight >= document.documentElement.scrollHeight - 2 ? done() : requestAnimationFrame(step); };
		step();
	})`
	v.run(scroll)
	t.Logf("scrolled through, the visitor's own files: %s; %.0f MiB", v.frames(), v.memory())
	v.do(chromedp.Reload())
	v.until(ended + " === 1000")
	v.run(watchFrames)
	v.run(scroll)
	t.Logf("loaded again and scrolled through, small copies: %s; %.0f MiB", v.frames(), v.memory())
}

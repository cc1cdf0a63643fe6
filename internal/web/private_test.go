package web_test

import (
	"log/slog"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/blob"
)

// lock lets into a site only those who have a key, and returns one for each name.
func lock(t *testing.T, s *site, labels ...string) map[string]string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	texts := map[string]string{}
	if err := access.Edit(path, func(list []access.Key) ([]access.Key, error) {
		for _, label := range labels {
			key, text := access.NewKey(access.Key{Label: label, Scopes: []access.Scope{access.Submit, access.Read}}, time.Now())
			list, texts[label] = append(list, key), text
		}
		return list, nil
	}); err != nil {
		t.Fatal(err)
	}
	keys, err := access.Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.guard = access.NewGuard(keys, new(blob.Mem), "test", slog.New(slog.DiscardHandler))
	s.restart(t, 1000)
	return texts
}

// Two who share a browser, one after the other, see their own jobs and nothing of each other's.
func TestBrowserKeepsJobsToTheirOwners(t *testing.T) {
	s := newSite(t, 1000)
	keys := lock(t, s, "Ada", "Bob")
	s.work(t, 0, byName)
	v := visit(t)
	v.do(chromedp.Navigate(serve(t, s)))
	click := func(selector string) {
		t.Helper()
		if _, err := chromedp.RunResponse(v.ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
			t.Fatal(err)
		}
	}
	enter := func(who string) {
		t.Helper()
		v.until(`document.getElementById("key") !== null`)
		v.do(chromedp.SendKeys(chromedp.CSS("#key"), keys[who]))
		click(".signin button")
		v.until(`document.body.dataset.visitor === "` + who + `"`)
	}
	v.shot("sign-in")
	v.accessible()
	enter("Ada")
	v.drop(file{name: "owl.png", body: dot()})
	v.until(ended + ` === 1 && location.pathname.startsWith("/jobs/")`)
	v.accessible()
	adas := ask[string](v, "location.pathname")
	v.do(chromedp.Navigate(ask[string](v, "location.origin")))
	v.until(`document.querySelectorAll("#recent li").length === 1`)
	click(".visitor button")

	enter("Bob")
	if n := ask[int](v, `document.querySelectorAll("#recent li").length`); n != 0 {
		t.Errorf("Bob is shown %d jobs of Ada's", n)
	}
	v.allowed = adas
	response, err := chromedp.RunResponse(v.ctx, chromedp.Navigate(ask[string](v, "location.origin")+adas))
	if err != nil || response.Status != http.StatusNotFound {
		t.Errorf("Ada's job is answered to Bob with %+v, %v", response, err)
	}
	click(".visitor button")
	enter("Ada")
	v.until(`document.querySelectorAll("#recent li").length === 1`)
}

package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/scale"
	"github.com/ocelli/ocelli/internal/web"
)

// adjustable makes a site's settings changeable and returns the policy in force and what was said of its changes.
func adjustable(s *site, allowed *bool) (policy *scale.Policy, said *[]string) {
	start := scale.Local(4)
	now := start
	said = new([]string)
	s.settings = &web.Settings{
		Leads: func() bool { return true }, Now: func() scale.Policy { return now }, Start: start,
		Change: func(to scale.Policy, what string) error {
			now, *said = to, append(*said, what)
			s.journal = append(s.journal, scale.Decision{Want: 1, Changed: what, Seen: scale.Seen{Now: time.Now()}})
			return to.Validate()
		},
		Allowed: func(*http.Request) (bool, string) { return *allowed, "ask the operator" },
	}
	return &now, said
}

func (s *site) post(path string, fields ...string) *httptest.ResponseRecorder {
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	r := httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return s.do(r)
}

func TestSettingsAreChangedOnceConfirmed(t *testing.T) {
	s := newSite(t, 100)
	allowed := true
	policy, said := adjustable(s, &allowed)
	wantText(t, s.get("/settings"), 200, "limit: more of them takes a new start", `name="max" type="number" min="1" max="4" value="4"`, "Look at the change")

	fields := []string{"max", "2", "min", "1", "policy", "backlog", "images", "7", "hold", "30"}
	w := s.post("/settings", fields...)
	wantText(t, w, 200, "This would change", "At most 2 workers in place of 4.", "by the number of pictures", "One worker for each 7 pictures in place of 5", "not needed end after 30s in place of 10s")
	if len(*said) != 0 || policy.Max != 4 {
		t.Fatalf("before it was confirmed, %q was done", *said)
	}
	w = s.post("/settings", append(fields, "confirmed", "yes")...)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/settings?changed" {
		t.Errorf("got %d to %q", w.Code, w.Header().Get("Location"))
	}
	want := scale.Local(4)
	want.Max, want.Name, want.ImagesPerWorker, want.Hold = 2, scale.Backlog, 7, 30
	if diff := cmp.Diff(want, *policy); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
	wantText(t, s.get("/settings?changed"), 200, "That is in force now", "Changed before", "At most 2 workers in place of 4;",
		"--max-workers=2 --min-workers=1 --worker-idle=30s --policy=backlog --images-per-worker=7")
	wantText(t, s.get("/fleet"), 200, "Settings changed", "At most 2 workers in place of 4;")

	wantText(t, s.post("/settings", fields...), 200, "nothing was changed")
	wantText(t, s.post("/settings", "reset", "yes"), 200, "This would change", "At most 4 workers in place of 2.")
}

func TestSettingsThatCannotBeAreRefused(t *testing.T) {
	s := newSite(t, 100)
	allowed := true
	_, said := adjustable(s, &allowed)
	for _, test := range []struct {
		fields []string
		want   []string
	}{
		{[]string{"max", "5", "min", "0", "policy", "breakeven", "images", "5", "hold", "10"}, []string{"The most workers must be a whole number from 1 to 4."}},
		{[]string{"max", "2", "min", "3", "policy", "breakeven", "images", "5", "hold", "10"}, []string{"must not be more than the most"}},
		{[]string{"max", "x", "min", "-1", "policy", "greed", "images", "0", "hold", "1e9"},
			[]string{"The most workers", "The fewest workers", "one of the two rules", "for each worker", "The seconds"}},
		{nil, []string{"The most workers"}},
	} {
		wantText(t, s.post("/settings", append(test.fields, "confirmed", "yes")...), 422, test.want...)
	}
	allowed = false
	wantText(t, s.get("/settings"), 200, "Ask the operator.", "<fieldset disabled>")
	wantText(t, s.post("/settings", "max", "2", "min", "0", "policy", "breakeven", "images", "5", "hold", "10", "confirmed", "yes"), 403, "Nothing was changed")
	if len(*said) != 0 {
		t.Errorf("%q was done", *said)
	}
	allowed = true
	s.settings.Leads = func() bool { return false }
	wantText(t, s.get("/settings"), 200, "Another node keeps the workers")
	wantText(t, s.post("/settings", "max", "2", "min", "0", "policy", "breakeven", "images", "5", "hold", "10", "confirmed", "yes"), 409, "Nothing was changed", "change the settings there")
	if len(*said) != 0 {
		t.Errorf("a node that does not lead did %q", *said)
	}
	allowed = true
	s.settings.Leads = func() bool { return true }
	s.settings.Start.Hold = 100_000 // --worker-idle=27h46m40s
	for _, hold := range []string{"1.5", "100000"} {
		wantText(t, s.post("/settings", "max", "2", "min", "0", "policy", "breakeven", "images", "5", "hold", hold), 200, "This would change from now on")
	}
	s.settings = nil
	wantText(t, s.get("/settings"), 200, "ocelli scale")
	wantText(t, s.post("/settings", "max", "2"), 403, "Nothing was changed")
}

func TestHealth(t *testing.T) {
	s := newSite(t, 100)
	s.status = func() ocelli.Status {
		return ocelli.Status{Version: "v1.2.3", ETA: ocelli.ETA{Jobs: 12, Within20: 0.75}}
	}
	s.checks = []web.Check{{Name: "Queue", OK: true, Says: "it answers in 1 ms"}}
	wantText(t, s.get("/health"), 200, "All is well.", "It answers in 1 ms.", "v1.2.3", "75 % of the last 12 jobs", `http-equiv="refresh"`)
	s.checks = append(s.checks, web.Check{Name: "Disk", Says: "0.1 GB are free: make room"})
	wantText(t, s.get("/health"), 200, "Something needs a look.", "0.1 GB are free: make room.", `data-ok="false"`)
}

func TestBrowserChangesSettings(t *testing.T) {
	s := newSite(t, 1000)
	allowed := true
	policy, _ := adjustable(s, &allowed)
	s.checks = []web.Check{{Name: "Queue", OK: true, Says: "it answers in 0.4 ms; 0 images in it"}, {Name: "Store", OK: true, Says: "it answers in 0.1 ms; it is the one that this service began with"},
		{Name: "Disk", OK: false, Says: "0.3 GB of 512.1 GB are free: make room, or pictures will be refused"}, {Name: "Workers", OK: true, Says: "0 at work, 0 wanted"}}
	v := visit(t)
	address := serve(t, s)
	click := func(selector string) {
		t.Helper()
		if _, err := chromedp.RunResponse(v.ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
			t.Fatal(err)
		}
	}
	v.do(chromedp.Navigate(address + "/settings"))
	v.shot("settings")
	v.accessible()
	v.run(`document.getElementById("max").value = 3`)
	click(".sheet button.main")
	v.shot("settings-confirm")
	v.accessible()
	click(".sheet button.main")
	if words := ask[string](v, `document.querySelector("main").innerText`); !strings.Contains(words, "That is in force now") || policy.Max != 3 {
		t.Errorf("at most %d workers, and the page reads %q", policy.Max, words)
	}
	v.shot("settings-changed")
	v.accessible()
	v.phone()
	v.shot("phone-settings")
	v.accessible()
	v.do(chromedp.Navigate(address + "/health"))
	v.accessible()
	v.do(chromedp.EmulateViewport(1280, 900))
	v.shot("health")
	v.until(`document.querySelector("[data-key=Disk]").dataset.ok === "false"`)
	s.status = func() ocelli.Status { return ocelli.Status{Version: "another"} }
	v.until(`document.querySelector(".facts").textContent.includes("another")`)
}

// checked is what a site's health page asks.
func (s *site) checked(context.Context) []web.Check { return s.checks }

package web_test

import (
	"archive/zip"
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/scale"
	"github.com/ocelli/ocelli/internal/web"
	"github.com/ocelli/ocelli/models"
)

// byName answers with the name of the file up to the first dot.
func byName(task ocelli.Task) ocelli.Result {
	name, _, _ := strings.Cut(task.Name, ".")
	return sees(name, 0.91)
}

var (
	pagePath = regexp.MustCompile(`/jobs/[0-9A-Z]{26}`)
	labels   = regexp.MustCompile(`<h3 class="label" title="([^"]*)">`)
)

func labelsIn(page string) []string {
	var found []string
	page, _, _ = strings.Cut(page, "<template")
	for _, m := range labels.FindAllStringSubmatch(page, -1) {
		found = append(found, m[1])
	}
	return found
}

func wantText(t *testing.T, w *httptest.ResponseRecorder, status int, parts ...string) {
	t.Helper()
	if w.Code != status {
		t.Errorf("status %d, want %d", w.Code, status)
	}
	for _, part := range parts {
		if !strings.Contains(w.Body.String(), part) {
			t.Errorf("the answer lacks %q:\n%s", part, w.Body)
		}
	}
}

func TestPicturesBecomeAPageInTheOrderOfUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 100)
		s.work(t, time.Second, byName)
		w := s.do(formOf(t, "/", file{"image_file", "whale.png", dot()}, file{"image_file", "owl.png", dot()}, file{"image_file", "owl.png", dot()}))
		wantText(t, w, 200, "3 pictures recognised", "91 %", "thing")
		if diff := cmp.Diff([]string{"whale", "owl", "owl"}, labelsIn(w.Body.String())); diff != "" {
			t.Errorf("labels (-want +got):\n%s", diff)
		}
		if strings.Contains(w.Body.String(), "http-equiv") {
			t.Error("the page of a finished job loads itself again")
		}

		s.restart(t, 100)
		again := s.get(pagePath.FindString(w.Body.String()))
		wantText(t, again, 200, "3 pictures recognised")
		if diff := cmp.Diff(labelsIn(w.Body.String()), labelsIn(again.Body.String())); diff != "" {
			t.Errorf("labels after a restart (-want +got):\n%s", diff)
		}
	})
}

func TestPageFillsWhileTheJobRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 100)
		s.work(t, 10*time.Second, byName)
		began := time.Now()
		w := s.do(formOf(t, "/", file{"image_file", "whale.png", dot()}, file{"image_file", "owl.png", dot()}))
		if waited := time.Since(began); waited > 15*time.Second {
			t.Errorf("the page came after %s", waited)
		}
		path := pagePath.FindString(w.Body.String())
		wantText(t, w, 200, "1 of 2 pictures recognised", `<noscript><meta http-equiv="refresh" content="2; url=`+path+`"></noscript>`)
		if !slices.Contains(labelsIn(w.Body.String()), "recognising …") {
			t.Errorf("the labels are %q, and one should be recognised just now", labelsIn(w.Body.String()))
		}
		time.Sleep(10 * time.Second)
		wantText(t, s.get(path), 200, "2 pictures recognised")
	})
}

func TestFailedPicturesSayWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 100)
		s.work(t, 0, func(task ocelli.Task) ocelli.Result {
			if task.Name == "torn.png" {
				return fails(ocelli.CorruptImage, "torn.png breaks off in the middle: send it again from the camera")
			}
			return byName(task)
		})
		w := s.do(formOf(t, "/", file{"image_file", "torn.png", dot()}, file{"image_file", "notes.jpg", []byte("just some words, no picture")}, file{"image_file", "owl.png", dot()}))
		wantText(t, w, 200, "1 of 3 pictures recognised, 2 not", "torn.png breaks off in the middle: send it again from the camera.", "notes.jpg is not")
		wantText(t, s.do(formOf(t, "/", file{"image_file", "notes.jpg", []byte("just some words")})), 200, "The picture was not recognised")
		wantText(t, s.do(formOf(t, "/", file{"image_file", "a.jpg", []byte("words")}, file{"image_file", "b.jpg", []byte("more words")})), 200, "None of 2 pictures recognised")
		small, whole := strings.Count(w.Body.String(), "/thumbnail\" alt="), strings.Count(w.Body.String(), "/content\" alt=")
		if small != 1 || whole != 1 {
			t.Errorf("%d pictures are shown small and %d, which cannot be decoded here, as they are; want 1 and 1: the text file is none", small, whole)
		}
	})
}

func TestLargeJobsComeInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 2000)
		s.work(t, 0, byName)
		files := make([]file, 1003)
		for i := range files {
			files[i] = file{"image_file", fmt.Sprintf("n%d.png", i+1), dot()}
		}
		w := s.do(formOf(t, "/", files...))
		path := pagePath.FindString(w.Body.String())
		wantText(t, w, 200, "1003 pictures recognised", `href="`+path+`?part=2"`)
		if got := len(labelsIn(w.Body.String())); got != 1000 {
			t.Errorf("the first part has %d cards, want 1000", got)
		}
		if diff := cmp.Diff([]string{"n1001", "n1002", "n1003"}, labelsIn(s.get(path+"?part=2").Body.String())); diff != "" {
			t.Errorf("the second part (-want +got):\n%s", diff)
		}
		for _, odd := range []string{"?part=3", "?part=-1", "?part=x", "?part=99999999999999999999"} {
			if got := labelsIn(s.get(path + odd).Body.String()); len(got) != 1000 || got[0] != "n1" {
				t.Errorf("%s shows %d cards, want those of the first part", odd, len(got))
			}
		}
	})
}

func TestHostileNamesAreText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 100)
		s.work(t, 0, func(task ocelli.Task) ocelli.Result { return sees(`<b onclick="x">`, 0.5) })
		w := s.do(formOf(t, "/", file{"image_file", `"><script>alert(1)<_script>.png`, dot()}, file{"image_file", "'onerror='alert(2).png", dot()}))
		wantText(t, w, 200, "2 pictures recognised")
		for _, bad := range []string{"<script>alert", "<b onclick", `'onerror='`} {
			if strings.Contains(w.Body.String(), bad) {
				t.Errorf("the page has %q", bad)
			}
		}
	})
}

func TestOldClients(t *testing.T) {
	tests := []struct {
		name, path string
		files      []file
		status     int
		mediaType  string
		want       string
	}{
		{"myfile gets the label alone", "/", []file{{"myfile", "bathtub.JPEG", dot()}}, 200, "text/plain; charset=utf-8", "bathtub"},
		{"at any address", "/php_server.php", []file{{"myfile", "bathtub.JPEG", dot()}}, 200, "text/plain; charset=utf-8", "bathtub"},
		{"inputFile gets name and label", "/api/image", []file{{"inputFile", "test_0.v2.JPEG", dot()}}, 200, "text/plain; charset=utf-8", "test_0:test_0"},
		{"what is no picture gets its status", "/", []file{{"myfile", "a.jpg", []byte("plain words")}}, 415, "text/plain; charset=utf-8", ""},
		{"two of them get a page", "/", []file{{"myfile", "a.jpg", dot()}, {"myfile", "b.jpg", dot()}}, 200, "text/html; charset=utf-8", ""},
		{"other fields get a page", "/upload", []file{{"file", "a.jpg", dot()}}, 200, "text/html; charset=utf-8", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, 100)
				s.work(t, time.Second, byName)
				w := s.do(formOf(t, test.path, test.files...))
				if w.Code != test.status || w.Header().Get("Content-Type") != test.mediaType {
					t.Errorf("got %d %q, want %d %q", w.Code, w.Header().Get("Content-Type"), test.status, test.mediaType)
				}
				if test.want != "" && w.Body.String() != test.want {
					t.Errorf("got %q, want %q", w.Body, test.want)
				}
			})
		})
	}
}

func TestOldClientIsHeldUntilItsResultIsThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 100)
		s.work(t, 9*time.Minute, byName)
		wantText(t, s.do(formOf(t, "/", file{"myfile", "owl.png", dot()})), 200, "owl")
	})
}

func TestOldClientWaitsWhileTheQueueIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 1)
		answers := make(chan *httptest.ResponseRecorder)
		for _, name := range []string{"owl.png", "cat.png", "dog.png"} {
			go func() { answers <- s.do(formOf(t, "/", file{"myfile", name, dot()})) }()
			synctest.Wait()
		}
		wantText(t, s.do(formOf(t, "/", file{"image_file", "owl.png", dot()})), 429, "All eyes are busy")
		s.work(t, time.Second, byName)
		for range 3 {
			wantText(t, <-answers, 200)
		}
	})
}

func TestOldClientThatLeavesIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 100)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if w := s.do(formOf(t, "/", file{"myfile", "owl.png", dot()}).WithContext(ctx)); w.Body.Len() > 0 && w.Code == 200 {
			t.Errorf("a client that left was answered %q", w.Body)
		}
	})
}

func TestRequestsThatBringNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 100)
		wantText(t, s.do(formOf(t, "/")), 400, "No pictures arrived", "choose at least one image")
		plain := httptest.NewRequest("POST", "/", strings.NewReader("a=b"))
		plain.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		wantText(t, s.do(plain), 400, "multipart/form-data")
		wantText(t, s.get("/nowhere"), 404, "Nothing to see here")
		wantText(t, s.get("/jobs/01JD0000000000000000000000"), 404, "never accepted")
		wantText(t, s.get("/jobs/%3Cscript%3E"), 404, "&lt;script&gt;")
		wantText(t, s.do(httptest.NewRequest("PUT", "/", nil)), 405)
	})
}

func TestTooLargeARequestIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 100)
		s.requestBytes = 1000
		s.restart(t, 100)
		wantText(t, s.do(formOf(t, "/", file{"image_file", "a.png", append(dot(), make([]byte, 1000)...)})), 413, "That is too much at once")
	})
}

func TestProgramsThatWantJSONAreSentToTheAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 100)
		r := formOf(t, "/", file{"image_file", "owl.png", dot()})
		r.Header.Set("Accept", "application/json, text/html;q=0.5")
		w := s.do(r)
		if w.Code != 307 || w.Header().Get("Location") != "/v1/jobs" {
			t.Errorf("got %d to %q, want 307 to /v1/jobs", w.Code, w.Header().Get("Location"))
		}
	})
}

func TestEveryPageIsClosedToForeignScripts(t *testing.T) {
	s := newSite(t, 100)
	inline := regexp.MustCompile(`<style|\sstyle=|\son[a-z]+=|<script[^>]*>[^<]`)
	for _, path := range []string{"/", "/fleet", "/model", "/settings", "/health", "/nowhere"} {
		w := s.get(path)
		policy := w.Header().Get("Content-Security-Policy")
		for _, part := range []string{"default-src 'none'", "script-src 'self';", "style-src 'self';", "frame-ancestors 'none'", "base-uri 'none'"} {
			if !strings.Contains(policy, part) {
				t.Errorf("%s: the policy %q lacks %q", path, policy, part)
			}
		}
		body := w.Body.String()
		if found := inline.FindString(body); found != "" {
			t.Errorf("%s: the page has %q inside, which its own policy forbids", path, found)
		}
		if strings.Contains(body, "http://") || strings.Contains(body, "https://") || strings.Contains(body, `="//`) {
			t.Errorf("%s: the page refers to another site", path)
		}
	}
}

// What a first visit loads is to stay under 100 KB, compressed.
func TestPageIsSmall(t *testing.T) {
	s := newSite(t, 100)
	zipped := func(path string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", path, nil)
		r.Header.Set("Accept-Encoding", "gzip, br")
		w := s.do(r)
		if w.Code != 200 || w.Header().Get("Content-Encoding") != "gzip" {
			t.Errorf("%s: got %d with encoding %q, want 200 with gzip", path, w.Code, w.Header().Get("Content-Encoding"))
		}
		return w
	}
	total := zipped("/").Body.Len()
	links := regexp.MustCompile(`(?:src|href)="(/assets/[^"]+)"`)
	asset := regexp.MustCompile(`/assets/[0-9a-f]+/`).FindString(s.get("/").Body.String())
	seen := map[string]bool{}
	for _, m := range links.FindAllStringSubmatch(s.get("/").Body.String(), -1) {
		seen[m[1]] = true
	}
	for _, module := range []string{"pick", "job", "card", "upload", "tools", "pace", "recent", "words", "remedy", "copies"} {
		seen[asset+module+".js"] = true
	}
	for path := range seen {
		w := zipped(path)
		total += w.Body.Len()
		if cache := w.Header().Get("Cache-Control"); !strings.Contains(cache, "immutable") {
			t.Errorf("%s: Cache-Control is %q", path, cache)
		}
	}
	if total > 100<<10 {
		t.Errorf("a first visit loads %d bytes", total)
	}
	t.Logf("a first visit loads %d files and %d bytes", 1+len(seen), total)
}

func TestAssetsOfAnotherVersionAreNotKept(t *testing.T) {
	s := newSite(t, 100)
	if cache := s.get("/assets/000000000000/ocelli.css").Header().Get("Cache-Control"); cache != "no-store" {
		t.Errorf("Cache-Control is %q", cache)
	}
	if w := s.get("/assets/000000000000/nothing.js"); w.Code != 404 {
		t.Errorf("got %d for an asset that is not there", w.Code)
	}
}

func TestPicturesSortedIntoFolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 100)
		s.work(t, 0, func(task ocelli.Task) ocelli.Result {
			if task.Name == "torn.png" {
				return fails(ocelli.CorruptImage, "torn.png is torn")
			}
			return sees("owl: a/b", 0.9)
		})
		w := s.do(formOf(t, "/", file{"image_file", "a.png", dot()}, file{"image_file", "torn.png", dot()},
			file{"image_file", "words.png", []byte("words")}, file{"image_file", "con?.png", dot()}))
		w = s.get(pagePath.FindString(w.Body.String()) + "/sorted.zip")
		archive, err := zip.NewReader(bytes.NewReader(w.Body.Bytes()), int64(w.Body.Len()))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, f := range archive.File {
			names = append(names, f.Name)
			r, err := f.Open()
			if err != nil {
				t.Fatal(err)
			}
			if body, err := io.ReadAll(r); err != nil || !bytes.Equal(body, dot()) {
				t.Errorf("%s: %d bytes, error %v; want the picture as it was sent", f.Name, len(body), err)
			}
		}
		want := []string{"owl_ a_b/0001 a.png", "not recognised/0002 torn.png", "owl_ a_b/0004 con_.png"}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("names (-want +got):\n%s", diff)
		}
	})
}

func TestPicturesThatAreNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, 100)
		s.keep, s.keepImages = 30*24*time.Hour, 24*time.Hour
		s.restart(t, 100)
		s.work(t, 0, func(task ocelli.Task) ocelli.Result {
			if task.Name == "nowhere.png" { // as a URL that nobody can ask, of which nothing was ever kept
				if err := s.blobs.Delete(t.Context(), ocelli.InputKey(task.Job(), task.Image)); err != nil {
					t.Error(err)
				}
				return fails(ocelli.BadRequest, "nowhere.png has no address that can be asked")
			}
			return byName(task)
		})
		w := s.do(formOf(t, "/", file{"image_file", "owl.png", dot()}, file{"image_file", "nowhere.png", dot()}, file{"image_file", "elk.png", dot()}))
		path := pagePath.FindString(w.Body.String())
		wantText(t, w, 200, "2 of 3 pictures recognised, 1 not", ">2 January 2000</time>, results until <time", ">31 January 2000</time>.")
		if shown := strings.Count(w.Body.String(), "/content\" aria-label"); shown != 2 {
			t.Errorf("%d pictures are linked to, want 2", shown)
		}
		if w := s.get(path + "/sorted.zip"); w.Code != 200 || len(namesIn(t, w.Body.Bytes())) != 2 {
			t.Errorf("the archive: %d, %q", w.Code, namesIn(t, w.Body.Bytes()))
		}

		time.Sleep(25 * time.Hour)
		if err := s.blobs.Delete(t.Context(), s.stored(t, "input/")...); err != nil {
			t.Fatal(err)
		}
		wantText(t, s.get(path+"/sorted.zip"), 404, "None of the pictures is kept here")
		w = s.get(path)
		if strings.Contains(w.Body.String(), "/content") || !strings.Contains(w.Body.String(), `data-link="zip" hidden`) {
			t.Error("the page leads to pictures that are not kept any more")
		}
	})
}

// namesIn are those of the files of a zip archive.
func namesIn(t *testing.T, data []byte) []string {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range archive.File {
		names = append(names, f.Name)
	}
	return names
}

func TestFleetWithoutScripts(t *testing.T) {
	s := newSite(t, 100)
	wantText(t, s.get("/fleet"), 200, "Nothing waits, so no worker is wanted.", "Nobody is at work", "the reason stands here")
	s.status = func() ocelli.Status {
		return ocelli.Status{
			Ready: 1200, Leased: 34, Wanted: 2, Max: 4, Rate: 100, Problem: "the disk is full: free some space",
			Workers: []ocelli.Worker{{Name: "ocelli-worker-1", State: ocelli.WorkerBusy, Holding: 1, Done: 1204, Rate: 18.23}, {Name: "ocelli-worker-2", State: ocelli.WorkerDraining}},
		}
	}
	s.journal = append(decisions(), scale.Decision{Want: 6, Reason: "as before", Changed: "at most 8 workers in place of 6", Seen: scale.Seen{Now: time.Now()}, Done: &fleet.Change{}})
	wantText(t, s.get("/fleet"), 200, "the disk is full: free some space", "1,200", "12 s", "1 picture in hand", "1,204 done · 18.2 a second", "finishes what it holds",
		"3 → 6 workers", "started ocelli-worker-4, ocelli-worker-5, ocelli-worker-6", "Settings changed", "At most 8 workers in place of 6.")
	if strings.Contains(s.get("/fleet").Body.String(), "a third reason") {
		t.Error("the time line has a decision that changed nothing")
	}
}

// knownNetwork is what is known of the default model.
func knownNetwork(t *testing.T) *web.Network {
	t.Helper()
	labels, err := classify.KnownLabels(classify.TinyImageNet200)
	if err != nil {
		t.Fatal(err)
	}
	body, err := models.Files.ReadFile("ocelli-200.json")
	if err != nil {
		t.Fatal(err)
	}
	card, err := classify.ParseCard(body)
	if err != nil {
		t.Fatal(err)
	}
	return &web.Network{Card: card, Labels: labels}
}

func TestModelWithoutScripts(t *testing.T) {
	s := newSite(t, 100)
	wantText(t, s.get("/model"), 200, "No worker has told yet")
	s.status = func() ocelli.Status {
		return ocelli.Status{Model: &ocelli.Model{Name: "resnet-tiny", SHA256: "ab12", Preprocessing: "resize 224"}}
	}
	wantText(t, s.get("/model"), 200, "resnet-tiny", "ab12", "resize 224", "Nothing was measured")
	s.network = knownNetwork(t)
	wantText(t, s.get("/model"), 200, "one of 200 labels", "Tiny ImageNet, validation", "10,000 pictures", "60 %", "83 %", "1.0 points", "2,051 pictures: sure by 98 %, right in 98 %", "goldfish")
	found := s.get("/model?find=Retriever")
	wantText(t, found, 200, "2 of 200 classes", "golden retriever", "68 %")
	if strings.Contains(found.Body.String(), "goldfish") {
		t.Error("goldfish are found among retrievers")
	}
	wantText(t, s.get("/model?find=%3Cscript%3E"), 200, "0 of 200 classes", "&lt;script&gt;", "It knows nothing of that name")

	s.network = &web.Network{Card: &classify.Card{Metrics: map[string]any{"top1": 0.7188, "data": "ImageNet validation", "published_at": "example.org"}}}
	wantText(t, s.get("/model"), 200, "72 %", "ImageNet validation", "As published at example.org, not measured here")
	s.network = &web.Network{Card: &classify.Card{Metrics: map[string]any{"top1": "good", "photos": []any{1}, "n": -1}}}
	wantText(t, s.get("/model"), 200, "Nothing was measured")
}

package intake_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/fetch"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/queue"
)

// accepted submits a request and returns the names of its images, each with the code of its error or its type.
func accepted(t *testing.T, in *intake.Intake, contentType string, body []byte) []string {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/v1/jobs", bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	job := intake.NewJob()
	m, err := in.Submit(t.Context(), job, in.Uploads(r))
	if e := ocelli.AsError(err); e != nil {
		return []string{"request: " + string(e.Code)}
	} else if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, image := range m.Images {
		word := image.Type
		if r, err := in.Results.Load(t.Context(), job.ID, image.ID); err == nil {
			word = string(r.Error.Code)
			if !strings.HasPrefix(r.Error.Message, image.Name+" ") {
				t.Errorf("%s is told: %s", image.Name, r.Error.Message)
			}
		}
		got = append(got, image.Name+": "+word)
	}
	return got
}

func want(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func zipOf(pairs ...any) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		f, err := w.Create(pairs[i].(string))
		if err == nil {
			_, err = f.Write(pairs[i+1].([]byte))
		}
		if err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func tarOf(pairs ...any) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(pairs); i += 2 {
		data := pairs[i+1].([]byte)
		err := w.WriteHeader(&tar.Header{Name: pairs[i].(string), Mode: 0o600, Size: int64(len(data))})
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			panic(err)
		}
	}
	_ = w.Close()
	return b.Bytes()
}

func gzipOf(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(data)
	_ = w.Close()
	return b.Bytes()
}

func TestAnArchiveStandsForTheFilesInIt(t *testing.T) {
	in := newIntake(new(blob.Mem), queue.NewMem(time.Minute, 1000), roomy)
	files := []any{"a/dog.png", picture(0), "b/dog.png", picture(300 << 10), "notes.txt", []byte("words"), "empty.png", []byte{}, "huge.png", picture(2 << 20), "in.zip", zipOf("x.png", picture(0)), "../cat.png", picture(10)}
	found := []string{"dog.png: image/png", "dog.png: image/png", "notes.txt: unsupported_type", "empty.png: empty_file", "huge.png: too_large", "in.zip: unsupported_type", "cat.png: image/png"}
	for _, contentType := range []string{"application/zip", "", "application/x-www-form-urlencoded", "application/octet-stream"} {
		want(t, "zip as "+contentType, accepted(t, in, contentType, zipOf(files...)), found...)
	}
	want(t, "tar", accepted(t, in, "application/x-tar", tarOf(files...)), found...)
	want(t, "tar.gz", accepted(t, in, "application/gzip", gzipOf(tarOf(files...))), found...)

	// Parts of a form, between others; a broken one is a file of its own, and what follows is read.
	broken := zipOf("1.png", picture(0), "2.png", picture(1000))
	contentType, body := formOf(t, "first.png", picture(0), "p.zip", zipOf(files...), "broken.zip", broken[:len(broken)*2/3], "t.tgz", gzipOf(tarOf("t.png", picture(0))), "words.gz", gzipOf([]byte("words")), "last.png", picture(0))
	want(t, "form", accepted(t, in, contentType, body), slices.Concat([]string{"first.png: image/png"}, found,
		[]string{"1.png: image/png", "2.png: corrupt_archive", "broken.zip: corrupt_archive", "t.png: image/png", "words.gz: unsupported_type", "last.png: image/png"})...)

	want(t, "an empty zip", accepted(t, in, "application/zip", zipOf()), "request: no_images")
	want(t, "a zip in name only", accepted(t, in, "application/zip", []byte("words")), "image: unsupported_type")
	want(t, "a damaged zip", accepted(t, in, "application/zip", []byte("PK\x03\x04 and nothing")), "archive.zip: corrupt_archive")

	tight := newIntake(new(blob.Mem), queue.NewMem(time.Minute, 1000), intake.Limits{RequestBytes: 1 << 20, ImageBytes: 2 << 20, JobImages: 3, Backlog: 10})
	want(t, "too many", accepted(t, tight, "application/zip", zipOf("1", picture(0), "2", picture(0), "3", picture(0), "4", picture(0))), "request: too_many_images")
	want(t, "unpacks to too much", accepted(t, tight, "application/zip", zipOf("1", picture(900<<10), "2", picture(900<<10))), "1: image/png", "2: too_large", "archive.zip: too_large")
	want(t, "too large", accepted(t, tight, "application/x-tar", tarOf("1", picture(900<<10), "2", picture(900<<10))), "request: too_large")
}

func formOf(t *testing.T, pairs ...any) (contentType string, body []byte) {
	t.Helper()
	const boundary = "----boundary"
	var b bytes.Buffer
	for i := 0; i < len(pairs); i += 2 {
		fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=\"f\"; filename=%q\r\n\r\n%s\r\n", boundary, pairs[i], pairs[i+1])
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return "multipart/form-data; boundary=" + boundary, b.Bytes()
}

func TestImagesNamedByURL(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/large.png":
			_, _ = w.Write(picture(900 << 10))
		case "/huge.png":
			_, _ = w.Write(picture(5 << 20))
		case "/page":
			_, _ = io.WriteString(w, "<html>not a picture")
		case "/photos.zip":
			_, _ = w.Write(zipOf("x.png", picture(0)))
		case "/dog.png":
			_, _ = w.Write(picture(0))
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	in := newIntake(new(blob.Mem), queue.NewMem(time.Minute, 1000), roomy)
	list := func(urls string) []byte { return []byte(strings.ReplaceAll(`{"urls":[`+urls+`]}`, "@", server.URL)) }
	const contentType = "application/json; charset=utf-8"
	want(t, "nothing is fetched here", accepted(t, in, contentType, list(`"@/dog.png"`)), "request: fetch_refused")

	policy, err := fetch.ParsePolicy("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	in.Getter = fetch.New(policy, nil)
	want(t, "a list", accepted(t, in, contentType, list(`"@/dog.png?x=1", {"url":"@/dog.png","name":"rex.png"}, "@/large.png", "@/huge.png", "@/page", "@/gone.png",
		"http://10.0.0.1/inside.png", "ftp://x/y.png", "@/photos.zip", {"url":""}, null, "@/dog.png"`)),
		"dog.png: image/png", "rex.png: image/png", "large.png: image/png", "huge.png: too_large", "page: unsupported_type", "gone.png: fetch_failed",
		"inside.png: fetch_refused", "y.png: bad_request", "photos.zip: unsupported_type", "image: bad_request", "image: bad_request", "dog.png: image/png")
	want(t, "none", accepted(t, in, contentType, list("")), "request: no_images")
	for _, bad := range []string{"", "{", "[]", `{"urls":"x"}`, `{"urls":[1]}`, `{"url":["x"]}`, `{"urls":[{"url":"x","size":3}]}`} {
		want(t, bad, accepted(t, in, contentType, []byte(bad)), "request: bad_request")
	}

	// Of a list of more than a job may have no more is kept in memory.
	tight := newIntake(new(blob.Mem), queue.NewMem(time.Minute, 10), intake.Limits{RequestBytes: 64 << 20, ImageBytes: 1 << 20, JobImages: 3, Backlog: 10})
	tight.Getter = in.Getter
	before := new(runtime.MemStats)
	runtime.ReadMemStats(before)
	want(t, "millions", accepted(t, tight, contentType, list(`""`+strings.Repeat(`,""`, 5_000_000))), "request: too_many_images")
	after := new(runtime.MemStats)
	runtime.ReadMemStats(after)
	if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 200 {
		t.Errorf("a list of 15 MB took %d MB of memory", mb)
	}

	// A repeat is told by its URLs, and fetches nothing.
	submit := func(urls string) error {
		r := httptest.NewRequest(http.MethodPost, "/v1/jobs", bytes.NewReader(list(urls)))
		r.Header.Set("Content-Type", contentType)
		_, err := in.SubmitOnce(t.Context(), "key", intake.NewJob(), in.Uploads(r))
		return err
	}
	if err := submit(`"@/dog.png"`); err != nil {
		t.Fatal(err)
	}
	server.Close()
	if err := submit(`"@/dog.png"`); err != nil {
		t.Error(err)
	}
	if err := submit(`"@/cat.png"`); ocelli.AsError(err) == nil || ocelli.AsError(err).Code != ocelli.KeyReused {
		t.Errorf("another URL: %v", err)
	}
}

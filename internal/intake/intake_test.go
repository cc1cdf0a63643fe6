package intake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"iter"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/blob/blobtest"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/notify"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/queue/queuetest"
	"github.com/ocelli/ocelli/internal/result"
)

func newIntake(blobs blob.Store, q queue.Queue, limits intake.Limits) *intake.Intake {
	results := &result.Store{Blobs: blobs, Bus: notify.NewMem()}
	return &intake.Intake{
		Blobs: blobs, Queue: q, Results: results, Limits: limits, Memory: intake.NewMemory(64 << 20),
		Tracker: result.NewTracker(results, "result.test", slog.New(slog.DiscardHandler), nil),
	}
}

var roomy = intake.Limits{RequestBytes: 64 << 20, ImageBytes: 1 << 20, JobImages: 10_000, Backlog: 1_000_000}

// picture is a PNG, with so many zeros behind it.
func picture(padding int) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 4, 4))); err != nil {
		panic(err)
	}
	b.Write(make([]byte, padding))
	return b.Bytes()
}

// An upload has an end: images that come every few hours, for days, and one whose bytes come so slowly. What was accepted of it is taken back.
func TestAnUploadThatTakesTooLongIsBrokenOff(t *testing.T) {
	slow := func(yield func(intake.Upload, error) bool) {
		for yield(upload("a.png", picture(0)), nil) {
			time.Sleep(5 * time.Hour)
		}
	}
	drip := uploads(intake.Upload{Name: "a.png", Body: io.MultiReader(bytes.NewReader(picture(1000)), dripping{})})
	for name, ups := range map[string]iter.Seq2[intake.Upload, error]{"images": slow, "bytes": drip} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				blobs := new(blob.Mem)
				began := time.Now()
				_, err := newIntake(blobs, queue.NewMem(time.Minute, 1000), roomy).Submit(t.Context(), intake.NewJob(), ups)
				if e := ocelli.AsError(err); e == nil || e.Code != ocelli.TooLarge || time.Since(began) > 30*time.Hour {
					t.Errorf("after %v: %v", time.Since(began), err)
				}
				for info := range blobs.List(t.Context(), "") {
					t.Errorf("%s is left", info.Key)
				}
			})
		})
	}
}

// dripping gives a byte every hour, for ever.
type dripping struct{}

func (dripping) Read(p []byte) (int, error) {
	time.Sleep(time.Hour)
	return copy(p, "x"), nil
}

func uploads(ups ...intake.Upload) iter.Seq2[intake.Upload, error] {
	return func(yield func(intake.Upload, error) bool) {
		for _, up := range ups {
			if !yield(up, nil) {
				return
			}
		}
	}
}

func upload(name string, data []byte) intake.Upload {
	return intake.Upload{Name: name, Body: bytes.NewReader(data)}
}

func TestEachImageIsKeptAndQueuedOnceUnderItsOwnID(t *testing.T) {
	blobs, q := new(blob.Mem), queue.NewMem(time.Minute, 100)
	in := newIntake(blobs, q, roomy)
	m := intake.NewJob()
	id := m.ID
	small, large := picture(0), picture(700<<10)
	m, err := in.Submit(t.Context(), m, uploads(upload("a.png", small), upload("a.png", large), upload("x.txt", []byte("text"))))
	if err != nil {
		t.Fatal(err)
	}
	want := []ocelli.Image{
		{ID: ocelli.NewImageID(id, 1), Name: "a.png", Type: "image/png", Size: int64(len(small))},
		{ID: ocelli.NewImageID(id, 2), Name: "a.png", Type: "image/png", Size: int64(len(large))},
		{ID: ocelli.NewImageID(id, 3), Name: "x.txt"},
	}
	if fmt.Sprint(m.Images) != fmt.Sprint(want) {
		t.Errorf("got  %v\nwant %v", m.Images, want)
	}
	for i, data := range [][]byte{small, large} {
		r, err := blobs.Open(t.Context(), ocelli.InputKey(id, want[i].ID))
		if err != nil {
			t.Fatal(err)
		}
		if kept, err := io.ReadAll(r); err != nil || !bytes.Equal(kept, data) {
			t.Errorf("%s was kept as %d bytes, %v; want %d", want[i].ID, len(kept), err, len(data))
		}
	}
	seen := map[ocelli.ImageID]int{}
	for _, task := range queuetest.Drain(t, q) {
		seen[task.Image]++
		if task.Name != "a.png" || task.ReplyTo != "result.test" || time.Since(task.Accepted) > time.Minute {
			t.Errorf("the task says %+v", task)
		}
	}
	if len(seen) != 2 || seen[want[0].ID] != 1 || seen[want[1].ID] != 1 {
		t.Errorf("queued: %v", seen)
	}
}

func TestLimitsOfOneImage(t *testing.T) {
	limit := int64(len(picture(0)))
	in := newIntake(new(blob.Mem), queue.NewMem(time.Minute, 100), intake.Limits{ImageBytes: limit, JobImages: 10, Backlog: 10})
	m := intake.NewJob()
	id := m.ID
	if _, err := in.Submit(t.Context(), m, uploads(upload("fits.png", picture(0)), upload("one-more.png", picture(1)), upload("far.png", picture(3<<20)))); err != nil {
		t.Fatal(err)
	}
	for place, want := range []ocelli.Code{"", ocelli.TooLarge, ocelli.TooLarge} {
		r, err := in.Results.Load(t.Context(), id, ocelli.NewImageID(id, place+1))
		switch {
		case want == "" && !errors.Is(err, blob.ErrNotFound):
			t.Errorf("image %d has a result before its turn: %+v, %v", place+1, r, err)
		case want != "" && (err != nil || r.Error == nil || r.Error.Code != want):
			t.Errorf("image %d: %+v, %v; want %s", place+1, r, err, want)
		}
	}
}

func TestWhatIsWrongWithAWholeRequest(t *testing.T) {
	full := queue.NewMem(time.Minute, 1)
	for name, c := range map[string]struct {
		blobs   blob.Store
		queue   queue.Queue
		limits  intake.Limits
		uploads iter.Seq2[intake.Upload, error]
		want    ocelli.Code
	}{
		"no file":         {uploads: uploads(), want: ocelli.NoImages},
		"too many":        {limits: intake.Limits{ImageBytes: 1 << 20, JobImages: 2, Backlog: 10}, uploads: uploads(upload("1", picture(0)), upload("2", picture(0)), upload("3", picture(0))), want: ocelli.TooManyImages},
		"broken off":      {uploads: uploads(upload("1", picture(0)), intake.Upload{Name: "2", Body: io.MultiReader(bytes.NewReader(picture(0)), iotest.ErrReader(io.ErrUnexpectedEOF))}), want: ocelli.BadRequest},
		"broken at once":  {uploads: uploads(intake.Upload{Name: "1", Body: iotest.ErrReader(io.ErrUnexpectedEOF)}), want: ocelli.BadRequest},
		"backlog at most": {limits: intake.Limits{ImageBytes: 1, JobImages: 1, Backlog: 0}, uploads: uploads(upload("1", picture(0))), want: ocelli.Overloaded},
		"queue full":      {queue: full, uploads: uploads(upload("1", picture(0)), upload("2", picture(0))), want: ocelli.Overloaded},
		"store full":      {blobs: &fullStore{}, uploads: uploads(upload("1", picture(0))), want: ocelli.StorageFull},
	} {
		t.Run(name, func(t *testing.T) {
			if c.blobs == nil {
				c.blobs = new(blob.Mem)
			}
			if c.queue == nil {
				c.queue = queue.NewMem(time.Minute, 100)
			}
			if c.limits == (intake.Limits{}) {
				c.limits = roomy
			}
			in := newIntake(c.blobs, c.queue, c.limits)
			m := intake.NewJob()
			id := m.ID
			_, err := in.Submit(t.Context(), m, c.uploads)
			if e := ocelli.AsError(err); e == nil || e.Code != c.want {
				t.Fatalf("got %v, want %s", err, c.want)
			}
			if _, err := in.Tracker.Job(t.Context(), id); err == nil {
				t.Error("a job that was refused is known")
			}
			for info, err := range c.blobs.List(t.Context(), "input/") {
				t.Errorf("left behind: %s, %v", info.Key, err)
			}
		})
	}
}

// fullStore takes no more bytes.
type fullStore struct{ blob.Mem }

func (*fullStore) Put(context.Context, string, io.Reader) (int64, error) {
	return 0, fmt.Errorf("put: %w", blob.ErrFull)
}

// A sender that goes away in mid-upload leaves nothing that works on for nobody.
func TestAnUploadWhoseSenderIsGoneIsTakenBack(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	blobs := new(blob.Mem)
	in := newIntake(blobs, queue.NewMem(time.Minute, 100), roomy)
	_, err := in.Submit(ctx, intake.NewJob(), func(yield func(intake.Upload, error) bool) {
		_ = yield(upload("1", picture(0)), nil)
		cancel()
		_ = yield(upload("2", picture(0)), nil)
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	for info := range blobs.List(t.Context(), "input/") {
		t.Errorf("left behind: %s", info.Key)
	}
}

// A refused job leaves nothing, also where what it is recorded by was stored and only the answer of the store was lost.
func TestARefusedJobIsNotThere(t *testing.T) {
	blobs := new(blob.Mem)
	store := &blobtest.Faulty{Store: blobs, Plan: func(c blobtest.Call) blobtest.Fault {
		if strings.HasPrefix(c.Key, "jobs/") && c.Op != blobtest.Delete {
			return blobtest.Lost
		}
		return blobtest.None
	}}
	in := newIntake(store, queue.NewMem(time.Minute, 100), roomy)
	if _, err := in.Submit(t.Context(), intake.NewJob(), uploads(upload("1", picture(0)))); !errors.Is(err, blobtest.ErrFault) {
		t.Fatalf("got %v", err)
	}
	for info := range blobs.List(t.Context(), "") {
		t.Errorf("left behind: %s", info.Key)
	}
}

func TestFiveThousandPartsAreFiveThousandResults(t *testing.T) {
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	for i := range 5000 {
		w, err := parts.CreateFormFile("f", fmt.Sprintf("%d.png", i))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.Write(picture(0)[:i%2*70])
	}
	_ = parts.Close()
	r := httptest.NewRequest(http.MethodPost, "/v1/jobs", &form)
	r.Header.Set("Content-Type", parts.FormDataContentType())
	q := queue.NewMem(time.Minute, 10_000)
	in := newIntake(new(blob.Mem), q, roomy)
	m, err := in.Submit(t.Context(), intake.NewJob(), in.Uploads(r))
	if err != nil || len(m.Images) != 5000 {
		t.Fatalf("got %d images, %v", len(m.Images), err)
	}
	if n := len(queuetest.Drain(t, q)); n != 2500 {
		t.Errorf("%d images wait, want the 2500 that are not empty", n)
	}
}

func TestUploadsOfARequest(t *testing.T) {
	const form = "--B\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n" +
		"--B\r\nContent-Disposition: form-data; name=\"a\"; filename=\"\"\r\n\r\n\r\n" +
		"--B\r\nContent-Disposition: form-data; name=\"b\"; filename=\"C:\\\\x\\\\y.png\"\r\n\r\ndata\r\n--B--\r\n"
	longHead := form[:len(form)-4] + "\r\nContent-Disposition: form-data; name=\"c\"; filename=\"" + strings.Repeat("x", 20<<10) + "\"\r\n\r\ndata\r\n--B--\r\n"
	for name, c := range map[string]struct{ contentType, body, want string }{
		"form":                   {"multipart/form-data; boundary=B", form, "b|C:\\x\\y.png|data"},
		"raw":                    {"image/png", "bytes", "|given|bytes"},
		"no type":                {"", "bytes", "|given|bytes"},
		"curl's data":            {"application/x-www-form-urlencoded", string(picture(0)), "|given|" + string(picture(0))},
		"curl's text":            {"application/x-www-form-urlencoded", "#!/bin/sh\na=b", "|given|#!/bin/sh\na=b"},
		"curl's empty file":      {"application/x-www-form-urlencoded", "", "|given|"},
		"a form without files":   {"application/x-www-form-urlencoded", "a=b", "no_images"},
		"one with escapes":       {"application/x-www-form-urlencoded", "image=%2Fa+b.jpg&n=", "no_images"},
		"no boundary":            {"multipart/form-data", form, "bad_request"},
		"cut":                    {"multipart/form-data; boundary=B", form[:len(form)-11], "b|C:\\x\\y.png|broken\nbad_request"},
		"many fields, no files":  {"multipart/form-data; boundary=B", strings.Repeat("--B\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n\r\n", 1002), "bad_request"},
		"a long name":            {"multipart/form-data; boundary=B", longHead, "b|C:\\x\\y.png|data\nbad_request"},
		"a form of another kind": {"multipart/mixed; boundary=B", form, "|given|" + form},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/?name=given", strings.NewReader(c.body))
			r.Header.Set("Content-Type", c.contentType)
			var got []string
			for up, err := range newIntake(new(blob.Mem), queue.NewMem(time.Minute, 1), roomy).Uploads(r) {
				if err != nil {
					got = append(got, string(ocelli.AsError(err).Code))
					break
				}
				data, err := io.ReadAll(up.Body)
				if err != nil {
					data = []byte("broken")
				}
				got = append(got, up.Field+"|"+up.Name+"|"+string(data))
			}
			if strings.Join(got, "\n") != c.want {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// What is bounded is the head of each part, and not what lies between: fields may be long, and parts many.
func TestLongFieldsOfAForm(t *testing.T) {
	const field = "--B\r\nContent-Disposition: form-data; name=\"n\"\r\n\r\n"
	const file = "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.png\"\r\n\r\n"
	long := strings.Repeat("x", 100<<10) + "\r\n"
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat(field+long+file+long, 5)+"--B--\r\n"))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=B")
	files := 0
	for up, err := range newIntake(new(blob.Mem), queue.NewMem(time.Minute, 1), roomy).Uploads(r) {
		if err != nil || up.Name != "a.png" {
			t.Fatalf("%+v, %v", up, err)
		}
		files++ // of which nothing is read
	}
	if files != 5 {
		t.Errorf("%d files came, want 5", files)
	}
}

func TestCleanName(t *testing.T) {
	long := strings.Repeat("ä", 200) + ".jpeg"
	for name, want := range map[string]string{
		"dog.jpg": "dog.jpg", "../../etc/passwd": "passwd", `C:\photos\cat.png`: "cat.png", "": "image", "..": "image", "a/": "image",
		"new\nline\x00.png": "newline.png", "🐕 läuft.png": "🐕 läuft.png", "\xff\xfe.gif": "\uFFFD.gif", " x ": "x",
		"invoice\u202egpj.exe": "invoicegpj.exe",
	} {
		if got := intake.CleanName(name); got != want {
			t.Errorf("%q becomes %q, want %q", name, got, want)
		}
	}
	got := intake.CleanName(long)
	if len(got) > 255 || !utf8.ValidString(got) || !strings.HasSuffix(got, ".jpeg") {
		t.Errorf("a long name becomes %d bytes: %q", len(got), got)
	}
}

func FuzzCleanName(f *testing.F) {
	f.Add("../x\x00.jpg")
	f.Add(strings.Repeat("ä", 300) + ".png")
	f.Fuzz(func(t *testing.T, name string) {
		got := intake.CleanName(name)
		if got == "" || len(got) > 255 || !utf8.ValidString(got) || strings.ContainsAny(got, "/\\\x00\n") {
			t.Errorf("%q becomes %q", name, got)
		}
	})
}

func FuzzUploads(f *testing.F) {
	f.Add("multipart/form-data; boundary=B", []byte("--B\r\nContent-Disposition: form-data; name=\"b\"; filename=\"y\"\r\n\r\nd\r\n--B--\r\n"))
	f.Add("", picture(0))
	f.Fuzz(func(t *testing.T, contentType string, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		in := newIntake(new(blob.Mem), queue.NewMem(time.Minute, 100), roomy)
		m, err := in.Submit(t.Context(), intake.NewJob(), in.Uploads(r))
		if err != nil && ocelli.AsError(err) == nil {
			t.Errorf("an error without a sentence for the sender: %v", err)
		}
		if err == nil && len(m.Images) == 0 {
			t.Error("a job without images was accepted")
		}
	})
}

package ingest

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/png"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/notify"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/result"
)

// bucket is somebody's bucket.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	etags   map[string]string
	opened  int
	broken  error
}

func (b *bucket) Open(_ context.Context, key, etag string) (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opened++
	if b.broken != nil {
		return nil, b.broken
	}
	body, ok := b.objects[key]
	if !ok || etag != "" && etag != b.etags[key] {
		return nil, blob.ErrNotFound
	}
	return io.NopCloser(bytes.NewReader(body)), nil
}

func (b *bucket) Put(_ context.Context, key, mediaType string, body []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects[key] = body
	return nil
}

func (b *bucket) get(key string) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.objects[key])
}

// world is an Ingest with all that it needs.
type world struct {
	*Ingest
	from, to *bucket
}

func newWorld(t *testing.T, format string) *world {
	t.Helper()
	blobs, bus := new(blob.Mem), notify.NewMem()
	saved := &result.Store{Blobs: blobs, Bus: bus}
	quiet := slog.New(slog.DiscardHandler)
	from := &bucket{objects: map[string][]byte{}, etags: map[string]string{}}
	to := &bucket{objects: map[string][]byte{}}
	w := &world{from: from, to: to, Ingest: &Ingest{
		Events: queue.NewMem(time.Minute, 1000), Bucket: "photos", Objects: from, Deliver: Deliver(to, format),
		Blobs: blobs, Queue: queue.NewMem(time.Minute, 1000), Saved: saved, Tracker: result.NewTracker(saved, "result.test", quiet, nil),
		Store: "a secret", ImageBytes: 1 << 20, Log: quiet,
	}}
	return w
}

// start runs the ingest and a worker, which finds "bathtub" in everything, until the test ends.
func (w *world) start(t *testing.T) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for _, run := range []func(context.Context) error{w.Run, w.Tracker.Run, w.work} {
		all.Go(func() {
			if err := run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() { stop(); all.Wait() })
}

func (w *world) work(ctx context.Context) error {
	for ctx.Err() == nil {
		ds, err := w.Queue.Receive(ctx, 1, time.Second)
		if err != nil || len(ds) == 0 {
			continue
		}
		task, err := ocelli.DecodeTask(ds[0].Body)
		if err != nil {
			return err
		}
		r := ocelli.Result{Image: task.Image, Job: task.Job(), Name: task.Name, Labels: []ocelli.Label{{Name: "bathtub", Score: 1}}}
		if _, err := w.Saved.Save(ctx, r, task.ReplyTo); err != nil && ctx.Err() == nil {
			return err
		}
		if err := w.Queue.Ack(ctx, ds...); err != nil {
			return err
		}
	}
	return nil
}

// photo is a picture of that width.
func photo(t *testing.T, width int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, width, 1))); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// put puts an object into the bucket and returns what S3 tells of it.
func (w *world) put(key string, body []byte) []byte {
	w.from.mu.Lock()
	defer w.from.mu.Unlock()
	w.from.objects[key] = body
	w.from.etags[key] = fmt.Sprintf(`"%x"`, len(body))
	return event("ObjectCreated:Put", "photos", key, len(body))
}

func event(name, bucket, key string, size int) []byte {
	return fmt.Appendf(nil, `{"Records":[{"eventVersion":"2.1","eventName":%q,"eventTime":"2026-01-02T03:04:05.678Z",
		"s3":{"bucket":{"name":%q},"object":{"key":%q,"size":%d,"eTag":"%x","sequencer":"0055AED6DCD90281E5"}}}]}`,
		name, bucket, url.QueryEscape(key), size, size)
}

func (w *world) tell(t *testing.T, bodies ...[]byte) {
	t.Helper()
	for _, body := range bodies {
		if err := w.Events.Send(t.Context(), queue.Message{ID: rand.Text(), Body: body}); err != nil {
			t.Fatal(err)
		}
	}
}

// settled waits until all messages are acked.
func (w *world) settled(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) { // goroutines are waited for
		s, err := w.Events.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Backlog() == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d events are left after a minute", s.Backlog())
		}
	}
}

// stored returns the keys of the store that begin with prefix.
func (w *world) stored(t *testing.T, prefix string) (keys []string) {
	t.Helper()
	for info, err := range w.Blobs.List(t.Context(), prefix) {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// A key may be as long as S3 takes it, and its result has a longer one.
func TestResultsOfLongKeysAreDelivered(t *testing.T) {
	w := newWorld(t, "json")
	w.start(t)
	long := strings.Repeat("ä", 510)
	for n := range 2 {
		w.tell(t, w.put(fmt.Sprintf("%s%d", long, n), photo(t, 10+n)))
	}
	w.settled(t)
	w.to.mu.Lock()
	defer w.to.mu.Unlock()
	for key := range w.to.objects {
		if len(key) > 1024 || !strings.HasPrefix(key, "äää") || !strings.HasSuffix(key, ".json") {
			t.Errorf("a result was put at a key of %d bytes: %s", len(key), key)
		}
	}
	if len(w.to.objects) != 2 {
		t.Errorf("%d results were delivered, want 2", len(w.to.objects))
	}
}

func TestObjectsAreClassifiedOnceAndDelivered(t *testing.T) {
	w := newWorld(t, "pair")
	w.start(t)
	first := w.put("test_0.JPEG", photo(t, 10))
	second := w.put("2026/ä b+c.d.png", photo(t, 20))
	w.tell(t, first, second, first, first, []byte(`{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"photos"}`))
	w.settled(t)
	w.tell(t, first) // once more, when all is done
	w.settled(t)
	for key, want := range map[string]string{"test_0": "(test_0, bathtub)", "2026/ä b+c.d": "(ä b+c.d, bathtub)"} {
		if got := w.to.get(key); got != want {
			t.Errorf("%s holds %q, want %q", key, got, want)
		}
	}
	for _, prefix := range []string{"input/", "output/", "jobs/"} {
		if keys := w.stored(t, prefix); len(keys) != 2 {
			t.Errorf("below %s are %q, want one for each object", prefix, keys)
		}
	}
}

func TestReplacedObjectIsAnother(t *testing.T) {
	w := newWorld(t, "json")
	w.start(t)
	w.tell(t, w.put("a.png", photo(t, 10)))
	w.settled(t)
	stale := event("ObjectCreated:Put", "photos", "a.png", 7) // of a version that is no more
	w.tell(t, stale, w.put("a.png", photo(t, 2000)))
	w.settled(t)
	if keys := w.stored(t, "output/"); len(keys) != 2 {
		t.Errorf("results of two versions: %q", keys)
	}
	var r ocelli.Result
	if err := json.Unmarshal([]byte(w.to.get("a.png.json")), &r); err != nil || r.Labels[0].Name != "bathtub" {
		t.Errorf("delivered %q, %v", w.to.get("a.png.json"), err)
	}
}

func TestWhatIsNoImageGetsItsErrorDelivered(t *testing.T) {
	w := newWorld(t, "pair")
	w.start(t)
	w.put("large.png", photo(t, 10))
	large := event("ObjectCreated:Put", "photos", "large.png", 2<<20)
	w.put("liar.png", append(photo(t, 10), make([]byte, 2<<20)...))
	liar := event("ObjectCreated:Put", "photos", "liar.png", 5)
	w.from.etags["liar.png"] = `"5"`
	w.tell(t, w.put("notes.txt", []byte("hello")), w.put("empty.png", nil), large, liar)
	w.settled(t)
	for key, want := range map[string]string{
		"notes": "(notes, error: unsupported_type)", "large": "(large, error: too_large)", "liar": "(liar, error: too_large)",
	} {
		if got := w.to.get(key); got != want {
			t.Errorf("%s holds %q, want %q", key, got, want)
		}
	}
	if got := w.to.get("empty"); !strings.HasPrefix(got, "(empty, error: ") {
		t.Errorf("an empty object: %q", got)
	}
	if keys := w.stored(t, "input/"); len(keys) != 0 {
		t.Errorf("what is no image was kept: %q", keys)
	}
}

func TestMessagesThatTellOfNoImage(t *testing.T) {
	w := newWorld(t, "pair")
	w.Prefix, w.Results = "in/", "in/results/"
	w.start(t)
	for _, key := range []string{"a.png", "other/a.png", "in/results/a.png"} {
		w.put(key, photo(t, 10))
	}
	hostile := []string{
		``, `null`, `[]`, `{}`, `{"Records":7}`, `{"Records":[{}]}`, `hello`,
		`{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"photos"},"object":{"key":"in/a.png"}}}]}`, // at no moment
		`{"Records":[{"eventName":"ObjectCreated:Put","eventTime":"9999999-01-01T00:00:00Z","s3":{"bucket":{"name":"photos"},"object":{"key":"in/a"}}}]}`,
		`{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"photos"},"object":{"key":"%zz"}}}]}`,
	}
	for _, body := range hostile {
		w.tell(t, []byte(body))
	}
	w.tell(t,
		event("ObjectRemoved:Delete", "photos", "in/a.png", 1),
		event("ObjectCreated:Put", "somebody-elses", "in/a.png", 1),
		event("ObjectCreated:Put", "photos", "other/a.png", 1),
		event("ObjectCreated:Put", "photos", "in/results/a.png", 1),
		event("ObjectCreated:Put", "photos", "in/folder/", 0),
		event("ObjectCreated:Put", "photos", "in/"+strings.Repeat("a", 2000), 1),
		event("ObjectCreated:Put", "photos", "in/gone.png", 1),
	)
	w.settled(t)
	if keys := w.stored(t, ""); len(keys) != 0 {
		t.Errorf("something was accepted: %q", keys)
	}
	if len(w.to.objects) != 0 {
		t.Errorf("something was delivered: %v", w.to.objects)
	}
}

// Some servers leave the Z of times out.
func TestTimesWithoutAZone(t *testing.T) {
	w := newWorld(t, "pair")
	body := w.put("a.png", photo(t, 10))
	with, err := w.parse(body)
	if err != nil {
		t.Fatal(err)
	}
	without, err := w.parse(bytes.Replace(body, []byte(`678Z"`), []byte(`678"`), 1))
	if err != nil || without[0].id != with[0].id {
		t.Errorf("%v, %v; want the job %s", without, err, with[0].id)
	}
}

func TestHostileKeysStayInTheBucket(t *testing.T) {
	w := newWorld(t, "pair")
	w.start(t)
	keys := []string{"../../etc/passwd.png", "a/../b.png", "\x01\n\u202e.png", strings.Repeat("n", 1000) + ".png", ".png", "a//b.png", "per%cent.png", "~", "a.b/c"}
	for _, key := range keys {
		w.tell(t, w.put(key, photo(t, len(key))))
	}
	w.settled(t)
	if n := len(w.stored(t, "output/")); n != len(keys) {
		t.Errorf("%d results of %d objects", n, len(keys))
	}
	for _, job := range w.stored(t, "jobs/") {
		id := ocelli.JobID(strings.TrimSuffix(strings.TrimPrefix(job, "jobs/"), ".json"))
		m, err := w.Saved.LoadManifest(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if name := m.Images[0].Name; name == "" || len(name) > 255 || strings.ContainsAny(name, "/\n\x01\u202e") {
			t.Errorf("an image is called %q", name)
		}
	}
	delivered := []string{"../../etc/passwd", "a/../b", "\x01\n\u202e", strings.Repeat("n", 1000), ".png", "a//b", "per%cent", "~", "a.b/c"}
	for _, key := range delivered {
		if w.to.get(key) == "" {
			t.Errorf("nothing was delivered under %.40q", key)
		}
	}
}

// While the bucket cannot be read messages come back and nothing is accepted; then they are.
func TestOutageOfTheBucket(t *testing.T) {
	w := newWorld(t, "pair")
	body := w.put("a.png", photo(t, 10))
	w.fetching = make(chan struct{}, 1)
	w.from.broken = errors.New("out of reach")
	w.tell(t, body)
	ds, err := w.Events.Receive(t.Context(), 1, time.Minute)
	if err != nil || len(ds) != 1 {
		t.Fatal(ds, err)
	}
	w.handle(t.Context(), ds[0])
	if s, err := w.Events.Stats(t.Context()); err != nil || s.Backlog() != 1 {
		t.Fatalf("after an outage %d events are left, %v", s.Backlog(), err)
	}
	if keys := w.stored(t, ""); len(keys) != 0 {
		t.Errorf("something was accepted: %q", keys)
	}
	w.from.broken = nil
	objects, err := w.parse(body)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.accept(t.Context(), objects[0]); err != nil {
		t.Fatal(err)
	}
	if keys := w.stored(t, "jobs/"); len(keys) != 1 {
		t.Errorf("after the outage there are the jobs %q", keys)
	}
}

// What cannot be understood in a message keeps nothing else in it from being taken.
func TestOneOddRecordOfSeveral(t *testing.T) {
	w := newWorld(t, "pair")
	body := w.put("a.png", photo(t, 10))
	var message struct{ Records []map[string]any }
	if err := json.Unmarshal(body, &message); err != nil || len(message.Records) != 1 {
		t.Fatalf("%d records, %v", len(message.Records), err)
	}
	odd := map[string]any{"eventName": "ObjectCreated:Put", "s3": map[string]any{"bucket": map[string]any{"name": "another"}}}
	message.Records = []map[string]any{odd, message.Records[0], odd}
	body, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := w.parse(body)
	if len(objects) != 1 || objects[0].key != "a.png" || err == nil {
		t.Errorf("of three records, one of them good, come %+v, %v", objects, err)
	}
}

func TestJobIDsCannotBeGuessed(t *testing.T) {
	w, other := newWorld(t, "pair"), newWorld(t, "pair")
	other.Store = "another secret"
	body := w.put("a.png", photo(t, 10))
	ids := map[ocelli.JobID]bool{}
	for _, in := range []*Ingest{w.Ingest, w.Ingest, other.Ingest} {
		objects, err := in.parse(body)
		if err != nil {
			t.Fatal(err)
		}
		if !objects[0].id.Valid() {
			t.Errorf("%q is no id of a job", objects[0].id)
		}
		ids[objects[0].id] = true
	}
	if diff := cmp.Diff(2, len(ids)); diff != "" {
		t.Errorf("ids of one object in two stores (-want +got):\n%s", diff)
	}
}

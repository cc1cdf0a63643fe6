package ocelli

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"
)

const someJob JobID = "01JD0000000000000000000001"

func TestImageIDs(t *testing.T) {
	for _, place := range []int{1, 9, 42, 9999, 10_000, 123_456} {
		id := NewImageID(someJob, place)
		job, got, ok := id.Split()
		if !ok || job != someJob || got != place {
			t.Errorf("%s splits into %s, %d, %v", id, job, got, ok)
		}
	}
	for _, bad := range []ImageID{"", "-", "x-0001", "01JD0000000000000000000001", "01JD0000000000000000000001-", "01JD0000000000000000000001-0",
		"01JD0000000000000000000001-0000", "01JD0000000000000000000001--001", "01JD0000000000000000000001-1", "01JD0000000000000000000001-00001",
		"01JD000000000000000000000/-0001", "../0000000000000000000000-0001", "01JD0000000000000000000001-0001-0001", "01JD000000000000000000000U-0001"} {
		if job, place, ok := bad.Split(); ok {
			t.Errorf("%q splits into %s, %d", bad, job, place)
		}
	}
}

func TestKeysOfAnImageAreItsOwn(t *testing.T) {
	id := NewImageID(someJob, 7)
	for got, want := range map[string]string{
		InputKey(someJob, id):  "input/01JD0000000000000000000001/01JD0000000000000000000001-0007",
		OutputKey(someJob, id): "output/01JD0000000000000000000001/01JD0000000000000000000001-0007.json",
		ManifestKey(someJob):   "jobs/01JD0000000000000000000001.json",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestEveryCodeHasAStatusOfItsOwnKind(t *testing.T) {
	for code, want := range map[Code]int{
		EmptyFile: 422, TooLarge: 413, UnsupportedType: 415, TooManyPixels: 413, CorruptImage: 422, GaveUp: 500, Cancelled: 409,
		BadRequest: 400, NoImages: 400, TooManyImages: 413, WrongMethod: 405, NotFound: 404, Forbidden: 403, Conflict: 409, KeyReused: 422, CorruptArchive: 422, Encrypted: 422,
		FetchFailed: 422, FetchRefused: 403, DeadlineExceeded: 504, Overloaded: 429, StorageFull: 507, Unavailable: 503,
		Unauthorized: 401, WrongHost: 421, RateLimited: 429, QuotaUsed: 429,
	} {
		if got := code.HTTPStatus(); got != want || http.StatusText(got) == "" {
			t.Errorf("%s is answered with %d, want %d", code, got, want)
		}
	}
}

func TestAnErrorIsFoundInWhatWrapsIt(t *testing.T) {
	e := Errorf(CorruptImage, "%s is damaged", "x.jpg")
	if got := AsError(fmt.Errorf("decoding: %w", e)); got != e || got.Error() != "x.jpg is damaged" {
		t.Errorf("got %v", got)
	}
	if got := AsError(io.EOF); got != nil {
		t.Errorf("got %v from an error of another kind", got)
	}
	if got := AsError(nil); got != nil {
		t.Errorf("got %v from nil", got)
	}
}

func TestACellIsNoFormulaAndSaysTheSame(t *testing.T) {
	for text, want := range map[string]string{"": "", "dog.jpg": "dog.jpg", "=1+1": "'=1+1", "-": "'-", "@x": "'@x", "'quoted'": "''quoted'", "a=b": "a=b"} {
		if got := Cell(text); got != want || Uncell(got) != text {
			t.Errorf("%q becomes %q and then %q", text, got, Uncell(got))
		}
	}
}

func TestATaskSurvivesTheQueue(t *testing.T) {
	task := Task{Image: NewImageID(someJob, 3), Name: "ä\"\\\n🐕.jpg", Accepted: time.Now().UTC().Round(0), ReplyTo: "result.x", Trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Deadline: time.Now().UTC().Round(0)}
	got, err := DecodeTask(task.Encode())
	if err != nil || got != task || got.Job() != someJob {
		t.Errorf("got %+v, %v", got, err)
	}
}

func FuzzDecodeTask(f *testing.F) {
	f.Add(Task{Image: NewImageID(someJob, 3), Name: "x", ReplyTo: "y"}.Encode())
	f.Add([]byte(`{"image":"../../x"}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, body []byte) {
		task, err := DecodeTask(body)
		if err == nil && !task.Job().Valid() {
			t.Errorf("%q was taken for a task of job %q", body, task.Job())
		}
	})
}

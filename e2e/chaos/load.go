package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ocelli/ocelli"
)

// loaders is how many clients send to each service at once.
const loaders = 2

// mostUnderWay bounds the images that are accepted and not done: a machine that falls behind must not fail for that.
const mostUnderWay = 400

// ledger holds what a service has accepted, and what became of it.
type ledger struct {
	service *service

	mu       sync.Mutex
	seq      int
	jobs     []*order
	refused  int // answers that told the client to come again
	broken   int // requests without an answer
	disowned int // keys that were given up since their first request went down with the service
	wrong    []string
}

// order is one job as its client knows it.
type order struct {
	seq      int
	images   int
	poisoned bool // the first image crashes its worker
	accepted time.Time
	id       ocelli.JobID
	done     bool
	verdict  verdict
}

// The pictures of a run differ in name and size, so that a result tells which one it belongs to: the place in the job gives the width, the
// number of the job the height.
const smallest, heights, mostImages = 33, 200, 12

func (o *order) picture(i int) (name string, width, height int) {
	return fmt.Sprintf("picture-%06d-%02d.png", o.seq, i), smallest + i, smallest + o.seq%heights
}

func (o *order) bytes(i int) []byte {
	_, width, height := o.picture(i)
	img := image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{color.White, color.RGBA{uint8(o.seq * 37), uint8(i * 19), 99, 255}})
	for n := range img.Pix {
		img.Pix[n] = uint8(n * (i + 3) / 97 % 2)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err) // a buffer takes everything
	}
	if o.poisoned && i == 0 {
		b.WriteString("\nocelli-plant: abort")
	}
	return b.Bytes()
}

// form is the job as a multipart form.
func (o *order) form() (contentType string, body []byte) {
	var b bytes.Buffer
	parts := multipart.NewWriter(&b)
	for i := range o.images {
		name, _, _ := o.picture(i)
		part, err := parts.CreateFormFile("image", name)
		if err == nil {
			_, err = part.Write(o.bytes(i))
		}
		if err != nil {
			panic(err) // a buffer takes everything
		}
	}
	parts.Close()
	return parts.FormDataContentType(), b.Bytes()
}

func (l *ledger) next(images int, poisoned bool) *order {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	return &order{seq: l.seq, images: images, poisoned: poisoned}
}

// load sends one job after another until ctx ends.
func (l *ledger) load(ctx context.Context, _ int, random *rand.Rand) {
	for ctx.Err() == nil {
		if l.underWay() < mostUnderWay {
			l.send(ctx, l.next(1+random.IntN(mostImages), false))
		}
		wait(ctx, seconds(random, 0.05, 0.6))
	}
}

func (l *ledger) underWay() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, o := range l.jobs {
		if !o.done {
			n += o.images
		}
	}
	return n
}

// send sends a job until it is accepted, as a careful client does: with one key for all tries. It gives up when ctx ends.
func (l *ledger) send(ctx context.Context, o *order) {
	contentType, body := o.form()
	conflicts := 0
	for turn := 0; ctx.Err() == nil; {
		began := time.Now()
		id, err := l.post(ctx, fmt.Sprintf("%s-%d-%d", l.service.name, o.seq, turn), contentType, body)
		if err == nil {
			l.service.accepted(began)
			l.mu.Lock()
			o.id, o.accepted = id, time.Now()
			l.jobs = append(l.jobs, o)
			l.mu.Unlock()
			return
		}
		if e := ocelli.AsError(err); e != nil && e.Code == ocelli.Conflict {
			// The first request with this key went down with its web node, and nobody can tell that from one that is still being read.
			if conflicts++; conflicts > 3 {
				turn, conflicts = turn+1, 0
				l.count(&l.disowned)
			}
		}
		wait(ctx, 500*time.Millisecond)
	}
}

func (l *ledger) count(what *int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*what++
}

func (l *ledger) post(ctx context.Context, key, contentType string, body []byte) (ocelli.JobID, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.service.url+"/v1/jobs", bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Idempotency-Key", key)
	resp, err := quick.Do(req)
	if err != nil {
		l.count(&l.broken)
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		l.count(&l.broken)
		return "", err
	}
	if resp.StatusCode == http.StatusAccepted || resp.StatusCode == http.StatusOK {
		var job ocelli.Job
		if err := json.Unmarshal(text, &job); err != nil || !job.ID.Valid() {
			return "", l.accuse("a job was accepted with an answer that cannot be read: %.200q", text)
		}
		return job.ID, nil
	}
	l.count(&l.refused)
	var problem struct {
		Code   ocelli.Code
		Detail string
	}
	if json.Unmarshal(text, &problem) != nil || problem.Detail == "" {
		return "", l.accuse("an answer %s does not say what is wrong: %.200q", resp.Status, text)
	}
	switch resp.StatusCode {
	case http.StatusConflict, http.StatusTooManyRequests, http.StatusServiceUnavailable, http.StatusInsufficientStorage:
		return "", ocelli.Errorf(problem.Code, "%s", problem.Detail)
	}
	return "", l.accuse("a sound job was refused with %s: %s", resp.Status, problem.Detail)
}

// accuse notes that the service did something that it never should.
func (l *ledger) accuse(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, l.service.name+": "+err.Error())
	return err
}

// poison sends a job of which one image crashes each worker that touches it.
func (l *ledger) poison(ctx context.Context, random *rand.Rand) error {
	sending, enough := context.WithTimeout(ctx, 20*time.Second)
	defer enough()
	l.send(sending, l.next(2+random.IntN(mostImages-1), true))
	return nil
}

// tear begins uploads that break off half-way, by a reset, an end or silence. None of them may become a job.
func (l *ledger) tear(ctx context.Context, random *rand.Rand) error {
	for range 5 {
		o := l.next(mostImages, false)
		contentType, body := o.form()
		body = bytes.ReplaceAll(body, []byte("picture-"), []byte("torn-off"))
		if err := l.tearOne(ctx, contentType, body, random); err != nil && !isNetwork(err) {
			return err
		}
	}
	return nil
}

func (l *ledger) tearOne(ctx context.Context, contentType string, body []byte, random *rand.Rand) error {
	c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", strings.TrimPrefix(l.service.url, "http://"))
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	cut := random.IntN(len(body) - 100)
	_, err = fmt.Fprintf(c, "POST /v1/jobs HTTP/1.1\r\nHost: chaos\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", contentType, len(body), body[:cut])
	if err != nil {
		return err
	}
	switch tcp := c.(*net.TCPConn); random.IntN(3) {
	case 0:
		_ = tcp.SetLinger(0) // which makes Close a reset
	case 1:
		_ = tcp.CloseWrite()
		_, _ = io.Copy(io.Discard, c)
	default:
		wait(ctx, time.Second)
	}
	return nil
}

func isNetwork(err error) bool {
	var network net.Error
	var op *net.OpError
	return errors.As(err, &network) || errors.As(err, &op)
}

func (l *ledger) close() { quick.CloseIdleConnections() }

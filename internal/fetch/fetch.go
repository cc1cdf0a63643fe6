package fetch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/ocelli/ocelli"
)

const (
	ahead     = 8                // files of one list that are fetched before their turn
	aheadSize = 256 << 10        // bytes of each that are
	mostAsked = 64               // files that one Getter fetches at once, for all lists
	fetchTime = 30 * time.Second // for the beginning of a file, and once more for the rest when its turn has come
)

// Getter fetches files. Its methods may be called from any number of goroutines.
type Getter struct {
	policy Policy
	client *http.Client
	slots  chan struct{}
}

// New returns a getter that asks whom the policy permits. resolver nil is the system's.
func New(policy Policy, resolver *net.Resolver) *Getter {
	return &Getter{policy: policy, client: NewClient(policy, resolver), slots: make(chan struct{}, mostAsked)}
}

// Allowed returns nil where the getter fetches anything at all, and otherwise an [ocelli.Error] in a whole sentence.
func (g *Getter) Allowed() error {
	if g == nil || g.policy.None() {
		return ocelli.Errorf(ocelli.FetchRefused, "this service fetches no images from other servers: send the images themselves (its operator can allow it with --fetch)")
	}
	return nil
}

// Open returns a reader for each URL. Nothing is fetched before the first is read; then a few at a time, ahead of their turn. The
// readers are read one after another, from one goroutine, each as far as it is wanted. Their errors are [ocelli.Error] values, in
// sentences that lack their subject. close ends what is under way.
func (g *Getter) Open(ctx context.Context, urls []string) (readers []io.Reader, close func()) {
	ctx, cancel := context.WithCancel(ctx)
	l := &list{g: g, ctx: ctx, files: make([]*file, len(urls))}
	for i, u := range urls {
		l.files[i] = &file{list: l, place: i, url: u}
		readers = append(readers, l.files[i])
	}
	return readers, func() {
		cancel()
		l.fetching.Wait()
		for _, f := range l.files[:l.started] {
			f.end()
		}
	}
}

// Name is what a file without a name is called: the last part of the path of its URL.
func Name(address string) string {
	u, err := url.Parse(address)
	if err != nil || strings.Trim(u.Path, "/.") == "" {
		return "image"
	}
	return path.Base(u.Path)
}

// list is some files that are fetched one after another.
type list struct {
	g        *Getter
	ctx      context.Context
	files    []*file
	started  int // files that are being fetched, or were
	reading  int // the place of the file that is read
	fetching sync.WaitGroup
}

// turn begins to read the file at a place: the ones before it are not wanted any more, and some behind it are fetched.
func (l *list) turn(place int) {
	for ; l.reading < place; l.reading++ {
		l.files[l.reading].end()
	}
	for ; l.started < min(place+ahead, len(l.files)); l.started++ {
		f := l.files[l.started]
		ctx, cancel := context.WithCancel(l.ctx)
		f.cancel, f.ready = cancel, make(chan struct{})
		l.fetching.Go(func() {
			defer close(f.ready)
			f.err = f.begin(ctx)
		})
	}
}

// file is one file that is fetched.
type file struct {
	list   *list
	place  int
	url    string
	host   string
	cancel context.CancelFunc // nil before its fetch has begun
	ready  chan struct{}      // closed when the rest is set
	timer  *time.Timer
	body   io.Closer
	r      io.Reader
	err    error
}

// begin asks for the file and reads its beginning.
func (f *file) begin(ctx context.Context) error {
	u, err := f.list.g.policy.Check(f.url)
	if err != nil {
		return err
	}
	f.host = u.Hostname()
	select {
	case f.list.g.slots <- struct{}{}:
		defer func() { <-f.list.g.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	f.timer = time.AfterFunc(fetchTime, f.cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return ocelli.Errorf(ocelli.BadRequest, "has no address that can be asked: it must begin with http:// or https:// and name a host")
	}
	req.Header.Set("User-Agent", "ocelli/"+ocelli.Version())
	req.Header.Set("Accept", "image/*")
	resp, err := f.list.g.client.Do(req)
	if err != nil {
		return explain(err, f.host, fetchTime)
	}
	f.body = resp.Body
	if resp.StatusCode != http.StatusOK {
		return ocelli.Errorf(ocelli.FetchFailed, "cannot be fetched: %.100s answered %s", f.host, statusText(resp.StatusCode))
	}
	head, err := io.ReadAll(io.LimitReader(resp.Body, aheadSize))
	if err != nil {
		return explain(err, f.host, fetchTime)
	}
	f.timer.Stop()
	f.r = bytes.NewReader(head)
	if len(head) == aheadSize {
		f.r = io.MultiReader(f.r, resp.Body)
	}
	return nil
}

func statusText(code int) string { return fmt.Sprintf("%d %s", code, http.StatusText(code)) }

func (f *file) Read(p []byte) (int, error) {
	f.list.turn(f.place)
	if f.ready != nil {
		select {
		case <-f.ready:
		case <-f.list.ctx.Done():
			return 0, f.list.ctx.Err()
		}
		f.ready = nil
		if f.err == nil {
			f.timer.Reset(fetchTime)
		}
	}
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		err = explain(err, f.host, fetchTime)
	}
	f.err = err
	return n, err
}

// end lets go of a file.
func (f *file) end() {
	if f.cancel == nil {
		return
	}
	f.cancel()
	if f.ready != nil {
		<-f.ready
	}
	if f.timer != nil {
		f.timer.Stop()
	}
	if f.body != nil {
		f.body.Close()
	}
}

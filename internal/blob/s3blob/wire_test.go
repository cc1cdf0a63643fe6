package s3blob

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/ocelli/ocelli/internal/awstest"
	"github.com/ocelli/ocelli/internal/blob"
)

// wire stands between a store and its server.
type wire struct {
	mu    sync.Mutex
	asked []*http.Request
	// lose breaks the connection when the answer to the request is on its way.
	lose func(*http.Request) bool
}

func (w *wire) Do(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	w.asked = append(w.asked, r)
	w.mu.Unlock()
	resp, err := http.DefaultClient.Do(r)
	if err == nil && w.lose != nil && w.lose(r) {
		resp.Body.Close()
		return nil, io.ErrUnexpectedEOF
	}
	return resp, err
}

// open opens a store on a server of its own, over the wire.
func open(t *testing.T, w *wire, cfg Config) (*Store, *awstest.Server) {
	t.Helper()
	server := awstest.S3(t)
	conn := server.Config()
	if w != nil {
		conn.HTTPClient = w
	}
	cfg.Bucket, cfg.PathStyle = awstest.Bucket(t, server), true
	if cfg.Prefix == "" {
		cfg.Prefix = awstest.Name()
	}
	s, err := Open(t.Context(), conn, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, server
}

// Of a Create whose answer was lost the second request finds the first's object: it must not be taken for another's.
func TestCreateWhoseAnswerWasLost(t *testing.T) {
	t.Parallel()
	lost := 0
	w := &wire{}
	s, _ := open(t, w, Config{})
	w.lose = func(r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		lost++
		return lost == 1
	}
	won, err := s.Create(t.Context(), "a", []byte("x"))
	if !won || err != nil || lost != 2 {
		t.Errorf("Create = %t, %v after %d requests; want true after 2", won, err, lost)
	}
	if won, err := s.Create(t.Context(), "a", []byte("x")); won || err != nil {
		t.Errorf("another Create with the same bytes = %t, %v; want false", won, err)
	}
}

func TestEverythingIsEncryptedWithTheKey(t *testing.T) {
	t.Parallel()
	w := &wire{}
	s, _ := open(t, w, Config{})
	s.cfg.KMSKey = "alias/ocelli"
	w.asked = nil
	// The stand-in knows no KMS; what it answers does not matter here.
	_, _ = s.Put(t.Context(), "small", strings.NewReader("x"))
	_, _ = s.Put(t.Context(), "large", bytes.NewReader(make([]byte, partSize+1)))
	_, _ = s.Create(t.Context(), "once", []byte("x"))
	written := 0
	for _, r := range w.asked {
		starts := r.Method == http.MethodPost && r.URL.Query().Has("uploads")
		if !starts && (r.Method != http.MethodPut || r.URL.Query().Has("partNumber")) {
			continue // parts are encrypted as their upload is
		}
		written++
		if r.Header.Get("X-Amz-Server-Side-Encryption") != "aws:kms" || r.Header.Get("X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id") != "alias/ocelli" {
			t.Errorf("%s %s asks for no encryption with the key", r.Method, r.URL)
		}
	}
	if written < 3 {
		t.Errorf("%d objects were written, want 3", written)
	}
}

// failing gives n bytes and then an error.
type failing struct{ n int }

var errBroken = errors.New("the upload broke off")

func (f *failing) Read(p []byte) (int, error) {
	if f.n == 0 {
		return 0, errBroken
	}
	n := min(len(p), f.n)
	f.n -= n
	return n, nil
}

func TestBrokenUploadLeavesNoParts(t *testing.T) {
	t.Parallel()
	s, _ := open(t, nil, Config{})
	if _, err := s.Put(t.Context(), "a", &failing{2*partSize + 5}); !errors.Is(err, errBroken) {
		t.Fatalf("Put: %v", err)
	}
	out, err := s.client.ListMultipartUploads(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &s.cfg.Bucket})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.Uploads) != 0 {
		t.Errorf("%d uploads were left unfinished", len(out.Uploads))
	}
	if _, err := s.Open(t.Context(), "a"); !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("after a broken upload: %v", err)
	}
}

func TestOpenTellsWhatIsWrong(t *testing.T) {
	t.Parallel()
	server := awstest.S3(t)
	bucket := awstest.Bucket(t, server)
	good := server.Config()
	wrong := func(change func(*aws.Config)) aws.Config {
		conn := server.Config()
		change(&conn)
		return conn
	}
	for name, c := range map[string]struct {
		conn aws.Config
		cfg  Config
		want string
	}{
		"missing bucket": {good, Config{Bucket: "ocelli-no-such-bucket"}, "the bucket does not exist"},
		"unknown key": {wrong(func(c *aws.Config) {
			c.Credentials = credentials.NewStaticCredentialsProvider("AKIAWRONG", "secret", "")
		}), Config{Bucket: bucket}, "does not accept the credentials"},
		"wrong secret": {wrong(func(c *aws.Config) {
			c.Credentials = credentials.NewStaticCredentialsProvider(awstest.AccessKey, "wrong", "")
		}), Config{Bucket: bucket}, "does not accept the credentials"},
		"no server":        {wrong(func(c *aws.Config) { c.BaseEndpoint = aws.String("http://127.0.0.1:1") }), Config{Bucket: bucket}, "cannot be reached"},
		"bad prefix":       {good, Config{Bucket: bucket, Prefix: "a//b"}, "not allowed"},
		"very long prefix": {good, Config{Bucket: bucket, Prefix: strings.Repeat("a/", 120) + "a"}, "the most"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.cfg.PathStyle = true
			if _, err := Open(t.Context(), c.conn, c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v\ndoes not say %q", err, c.want)
			}
		})
	}
}

func TestOutage(t *testing.T) {
	t.Parallel()
	s, server := open(t, nil, Config{})
	if won, err := s.Create(t.Context(), "a", []byte("x")); !won || err != nil {
		t.Fatalf("Create = %t, %v", won, err)
	}
	server.Stop()
	if _, err := s.Open(t.Context(), "a"); err == nil || errors.Is(err, blob.ErrNotFound) || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("a server that is down: %v", err)
	}
	server.Start()
	r, err := s.Open(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
}

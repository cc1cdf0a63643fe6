package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	bytesin "encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	mathbig "math/big"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/client"
	"github.com/ocelli/ocelli/internal/testtools"
)

// site is `ocelli up` at a Unix socket behind Nginx with the configuration of deploy/nginx.
type site struct {
	url  string // https://127.0.0.1:PORT
	http string // the same without TLS
	dir  string
	web  *http.Client // over HTTP/2
	old  *http.Client // over HTTP/1.1
}

func newSite(t *testing.T) *site {
	testtools.Dir(t)
	nginx, err := exec.LookPath("nginx")
	if err != nil {
		if nginx, err = exec.LookPath("/usr/sbin/nginx"); err != nil {
			t.Fatal("nginx is missing: run scripts/testtools.sh")
		}
	}
	dir, err := os.MkdirTemp("", "ocelli-nginx-") // a short path: that of a socket may have 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "o.sock")
	library, err := filepath.Abs("../.deps/onnxruntime/libonnxruntime.so.1")
	if err != nil {
		t.Fatal(err)
	}
	if named := os.Getenv("OCELLI_ONNXRUNTIME"); named != "" {
		library = named
	}
	up := exec.Command(binary, "up", "--listen=unix:"+socket, "--data="+filepath.Join(dir, "data"), "--auth=off", "--model=echo", "--max-workers=2")
	up.Env = append(os.Environ(), "OCELLI_ONNXRUNTIME="+library)
	runFor(t, up)

	roots := certify(t, dir)
	plain, secure := testtools.Address(t), testtools.Address(t)
	conf, err := os.ReadFile("../deploy/nginx/ocelli.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []struct{ old, new string }{
		{"listen 80;", "listen " + plain + ";"}, {"listen [::]:80;", ""},
		{"listen 443 ssl http2;", "listen " + secure + " ssl http2;"}, {"listen [::]:443 ssl http2;", ""},
		{"/run/ocelli/ocelli.sock", socket}, {"/etc/ssl/ocelli", dir}, {"/var/cache/nginx/ocelli", filepath.Join(dir, "cache")},
	} {
		if !bytes.Contains(conf, []byte(r.old)) {
			t.Fatalf("deploy/nginx/ocelli.conf has no %q", r.old)
		}
		conf = bytes.ReplaceAll(conf, []byte(r.old), []byte(r.new))
	}
	main := fmt.Sprintf("daemon off;\npid %[1]s/nginx.pid;\nerror_log stderr warn;\n", dir)
	if os.Getuid() == 0 {
		main += "user root;\n"
	}
	main += "events {}\nhttp {\naccess_log off;\n"
	for _, kind := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
		main += fmt.Sprintf("%s_temp_path %s/temp-%s;\n", kind, dir, kind)
	}
	if err := os.WriteFile(filepath.Join(dir, "nginx.conf"), append([]byte(main), append(conf, '}')...), 0o644); err != nil {
		t.Fatal(err)
	}
	runFor(t, exec.Command(nginx, "-p", dir, "-e", "stderr", "-c", filepath.Join(dir, "nginx.conf")))

	trust := &tls.Config{RootCAs: roots}
	s := &site{
		url: "https://" + secure, http: "http://" + plain, dir: dir,
		web: &http.Client{Transport: &http.Transport{TLSClientConfig: trust.Clone(), ForceAttemptHTTP2: true}},
		old: &http.Client{Transport: &http.Transport{TLSClientConfig: trust.Clone(), TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}},
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		resp, err := s.old.Get(s.url + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s
			}
			err = errors.New(resp.Status)
		}
		if time.Now().After(end) {
			t.Fatalf("the site is not ready after a minute: %v", err)
		}
	}
}

// runFor runs a command until the test ends.
func runFor(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if cmd.Stderr == nil {
		cmd.Stderr = t.Output()
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		timer.Stop()
	})
}

// certify writes a certificate for 127.0.0.1 into dir, and returns what trusts it.
func certify(t *testing.T, dir string) *x509.CertPool {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: mathbig.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"fullchain.pem": {Type: "CERTIFICATE", Bytes: der}, "privkey.pem": {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return pool
}

func TestBehindNginx(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, tt := range []struct {
		name string
		test func(*testing.T, *site)
	}{
		{"pages, and files that stay in the cache", testPages},
		{"plain HTTP is sent to HTTPS", testRedirect},
		{"300 MB in one request", testBigUpload},
		{"the events of a job", testEvents},
		{"results come while the upload goes on", testLines},
		{"the clients of the reference system", testCourseClients},
	} {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, s) })
	}
}

func (s *site) get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	resp, err := s.web.Get(s.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func testPages(t *testing.T, s *site) {
	resp, page := s.get(t, "/")
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 || !strings.Contains(page, "<form") {
		t.Fatalf("the page: %s %s\n%.300s", resp.Proto, resp.Status, page)
	}
	files := regexp.MustCompile(`/assets/[^"]+`).FindAllString(page, -1)
	if len(files) < 2 {
		t.Fatalf("the page has %d files", len(files))
	}
	for _, file := range files {
		s.get(t, file)
		resp, _ := s.get(t, file)
		if resp.StatusCode != http.StatusOK || resp.Header.Get("X-Cache-Status") != "HIT" || !strings.Contains(resp.Header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s the second time: %s, cache %s, Cache-Control %q", file, resp.Status, resp.Header.Get("X-Cache-Status"), resp.Header.Get("Cache-Control"))
		}
	}
}

func testRedirect(t *testing.T, s *site) {
	c := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := c.Post(s.http+"/v1/classify?top=1", "image/jpeg", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusPermanentRedirect || !strings.HasPrefix(resp.Header.Get("Location"), "https://127.0.0.1") || !strings.HasSuffix(resp.Header.Get("Location"), "/v1/classify?top=1") {
		t.Errorf("%s, Location %s", resp.Status, resp.Header.Get("Location"))
	}
}

// bitmap is a picture of one colour, in a BMP file of 54 + 3×width×height bytes.
func bitmap(width, height int) []byte {
	row := (3*width + 3) &^ 3
	b := make([]byte, 54+row*height)
	copy(b, "BM")
	for at, v := range map[int]uint32{2: uint32(len(b)), 10: 54, 14: 40, 18: uint32(width), 22: uint32(height), 26: 1 | 24<<16, 34: uint32(row * height)} {
		bytesin.LittleEndian.PutUint32(b[at:], v)
	}
	return b
}

func testBigUpload(t *testing.T, s *site) {
	const pictures, side = 10, 3200 // 31 MB each
	c, err := client.New(s.url, client.WithTransport(s.web.Transport))
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	job, err := c.Submit(t.Context(), func(yield func(client.File) bool) {
		for i := range pictures {
			picture := bitmap(side, side+i)
			sent += len(picture)
			open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(picture)), nil }
			if !yield(client.File{Name: fmt.Sprintf("%d.bmp", i), Open: open}) {
				return
			}
		}
	}, 5*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if sent < 300_000_000 || job.State != ocelli.JobDone || job.Done != pictures || job.Failed != 0 {
		t.Fatalf("%d bytes sent; the job is %s with %d done, %d failed", sent, job.State, job.Done, job.Failed)
	}
	for i, image := range job.Images {
		if image.Result.Width != side || image.Result.Height != side+i {
			t.Errorf("picture %d has the result of another: %dx%d", i, image.Result.Width, image.Result.Height)
		}
	}
}

// form is a form with one file for each picture, under the field.
func form(t *testing.T, field string, pictures map[string][]byte) (io.Reader, string) {
	var body bytes.Buffer
	parts := multipart.NewWriter(&body)
	for name, data := range pictures {
		part, err := parts.CreateFormFile(field, name)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = part.Write(data)
	}
	parts.Close()
	return &body, parts.FormDataContentType()
}

func testEvents(t *testing.T, s *site) {
	pictures := map[string][]byte{}
	for i := range 20 {
		pictures[fmt.Sprintf("%d.bmp", i)] = bitmap(64, 64+i)
	}
	body, kind := form(t, "f", pictures)
	resp, err := s.web.Post(s.url+"/v1/jobs", kind, body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	events, err := s.web.Get(s.url + resp.Header.Get("Location") + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer events.Body.Close()
	text, err := io.ReadAll(events.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(string(text), "event: result\n"); got != 20 || !strings.Contains(string(text), "event: done\n") {
		t.Errorf("%d events of 20, and:\n%.500s", got, text)
	}
}

func testLines(t *testing.T, s *site) {
	read, write := io.Pipe()
	parts := multipart.NewWriter(write)
	send := func(name string) {
		part, err := parts.CreateFormFile("f", name)
		if err == nil {
			_, err = part.Write(bitmap(64, 64))
		}
		if err != nil {
			t.Error(err)
		}
	}
	got := make(chan string)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		defer close(got)
		req, _ := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/v1/jobs", read)
		req.Header.Set("Content-Type", parts.FormDataContentType())
		req.Header.Set("Accept", "application/x-ndjson")
		resp, err := s.web.Do(req)
		if err != nil {
			t.Error(err)
			return
		}
		defer resp.Body.Close()
		line := make([]byte, 16<<10)
		for {
			n, err := resp.Body.Read(line)
			if n > 0 {
				got <- string(line[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	send("1.bmp")
	send("2.bmp") // the first is whole when the second begins
	var lines string
	for !strings.Contains(lines, `"1.bmp"`) {
		piece, more := <-got
		if lines += piece; !more {
			t.Fatalf("the answer ended before the upload:\n%s", lines)
		}
	}
	parts.Close()
	write.Close()
	for piece := range got {
		lines += piece
	}
	if !strings.Contains(lines, `"2.bmp"`) {
		t.Errorf("the second picture has no result:\n%s", lines)
	}
}

// A hundred clients at once, each with one picture and no idea that there could be a limit.
func testCourseClients(t *testing.T, s *site) {
	pictures := map[string][]byte{"test_0.JPEG": bitmap(64, 64)}
	for _, c := range []struct{ field, kind, want string }{
		{"myfile", "text/plain; charset=utf-8", `^\w+$`}, {"inputFile", "text/plain; charset=utf-8", `^test_0:\w+$`},
		{"image_file", "text/html; charset=utf-8", `test_0\.JPEG`},
	} {
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				body, kind := form(t, c.field, pictures)
				resp, err := s.old.Post(s.url+"/", kind, body)
				if err != nil {
					t.Error(err)
					return
				}
				defer resp.Body.Close()
				text, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != c.kind || !regexp.MustCompile(c.want).Match(text) {
					t.Errorf("%s: %s, %s: %.200s, %v", c.field, resp.Status, resp.Header.Get("Content-Type"), text, err)
				}
			})
		}
		all.Wait()
	}
}

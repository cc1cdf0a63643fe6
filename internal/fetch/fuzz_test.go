package fetch_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/fetch"
)

// Whatever people give as an address: it is refused in a sentence, or it is one of the web without a secret in it.
func FuzzAddress(f *testing.F) {
	for _, text := range []string{"https://example.com/a/b.jpg?x=1#y", "http://[::1]:80/", "http://user:pass@host/", "file:///etc/passwd",
		"http://2130706433/", "http://host%00/", "//host/x", "http://a\r\nHost: b/", "http://xn--a/../.."} {
		f.Add(text)
	}
	open, err := fetch.ParsePolicy("public")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := open.Check(text)
		switch {
		case err != nil && ocelli.AsError(err) == nil:
			t.Errorf("%q is refused without a sentence: %v", text, err)
		case err == nil && (u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil):
			t.Errorf("%q was taken for the address %v", text, u)
		}
		if name := fetch.Name(text); name == "" {
			t.Errorf("a file from %q has no name", text)
		}
	})
}

// Whatever a server answers: it is an image's bytes, or an error in a sentence.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", "HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b",
		"HTTP/1.1 404 Not Found\r\nContent-Length: 99999999999\r\n\r\n", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nx", "\x00"} {
		f.Add([]byte(text))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	defer listener.Close()
	answers := make(chan []byte, 1)
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			select {
			case answer := <-answers:
				_ = c.SetDeadline(time.Now().Add(5 * time.Second))
				_, _ = http.ReadRequest(bufio.NewReader(c))
				_, _ = c.Write(answer)
			default: // a redirect led back here
			}
			c.Close()
		}
	}()
	local, err := fetch.ParsePolicy("127.0.0.1/32")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, answer []byte) {
		select {
		case <-answers: // of a run before, which was not asked for
		default:
		}
		answers <- answer
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		readers, done := fetch.New(local, nil).Open(ctx, []string{"http://" + listener.Addr().String() + "/x"})
		defer done()
		got, err := io.ReadAll(io.LimitReader(readers[0], 1<<20))
		if err != nil && ocelli.AsError(err) == nil {
			t.Errorf("an answer led to an error without a sentence: %v", err)
		}
		if err == nil && len(got) > len(answer)*1100 { // gzip makes no more of a byte
			t.Errorf("%d bytes came out of %d", len(got), len(answer))
		}
	})
}

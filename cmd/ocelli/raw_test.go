package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// raw sends bytes to the house as they are and returns the statuses of all answers until the connection is closed.
func (h *house) raw(t *testing.T, text string) []int {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(h.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	var statuses []int
	answers := bufio.NewReader(conn)
	for {
		resp, err := http.ReadResponse(answers, nil)
		if err != nil {
			return statuses
		}
		statuses = append(statuses, resp.StatusCode)
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.Close {
			return statuses
		}
	}
}

// A proxy and this server must agree on where each request ends, or a stranger's request hides in another's: RFC 9112, section 11.2.
func TestRequestsThatCanBeReadInTwoWaysAreRefused(t *testing.T) {
	h := newHouse(t)
	key := "Authorization: Bearer " + h.text["owner"] + "\r\n"
	hidden := "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
	post := "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\n" + key
	for name, text := range map[string]string{
		"two different lengths":             post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef" + hidden,
		"a list of lengths":                 post + "Content-Length: 5, 6\r\n\r\nabcdef" + hidden,
		"a signed length":                   post + "Content-Length: +5\r\n\r\nabcde" + hidden,
		"a negative length":                 post + "Content-Length: -1\r\n\r\n" + hidden,
		"an unknown coding":                 post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + hidden,
		"two codings":                       post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + hidden,
		"a coding with a space":             post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden,
		"a folded header":                   post + "X-A: b\r\n\tTransfer-Encoding: chunked\r\nContent-Length: 5\r\n Content-Length: 0\r\n\r\nabcde",
		"a header name with a line feed":    post + "X-A\n: b\r\nContent-Length: 0\r\n\r\n" + hidden,
		"a chunk of odd size":               post + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n" + hidden,
		"a chunk that ends in a line feed":  post + "Transfer-Encoding: chunked\r\n\r\n5\nabcde\r\n0\r\n\r\n" + hidden,
		"no host":                           "GET /healthz HTTP/1.1\r\n\r\n" + hidden,
		"two hosts":                         "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n" + hidden,
		"a header of 100 KB":                "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: " + strings.Repeat("a", 100<<10) + "\r\n\r\n" + hidden,
		"a NUL in a header":                 "GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-A: a\x00b\r\n\r\n" + hidden,
		"a request line with a carriage":    "GET /healthz\rHTTP/1.1\r\nHost: localhost\r\n\r\n" + hidden,
		"HTTP/2 without being asked for it": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hidden,
	} {
		statuses := h.raw(t, text)
		for _, status := range statuses {
			if status < 400 {
				t.Errorf("%s is answered %v", name, statuses)
				break
			}
		}
		if len(statuses) > 1 {
			t.Errorf("%s is taken for several requests, which are answered %v", name, statuses)
		}
	}
	// Both a length and chunks: the chunks count, and nothing that follows them on the connection is read as a request.
	both := post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden
	if statuses := h.raw(t, both); len(statuses) != 1 {
		t.Errorf("a length and chunks are answered %v", statuses)
	}
	if statuses := h.raw(t, hidden); len(statuses) != 1 || statuses[0] != 200 {
		t.Errorf("after all that the server answers %v", statuses)
	}
}

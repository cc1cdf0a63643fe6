package api

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// one is a listener for one connection.
type one chan net.Conn

func (l one) Accept() (net.Conn, error) {
	if conn, ok := <-l; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

func (l one) Close() error { return nil }

func (l one) Addr() net.Addr { return &net.UnixAddr{} }

// connected serves one connection, which holds nothing back: what is not read is not written.
func connected(t *testing.T, handler http.HandlerFunc) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	l := make(one, 1)
	l <- server
	s := &http.Server{Handler: Steady(handler)}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { close(l); client.Close(); s.Close() })
	return client
}

const getAnswer = "GET / HTTP/1.1\r\nHost: here\r\n\r\n"

// wholeAnswer reads one in chunks up to its end, with a pause after each read.
func wholeAnswer(t *testing.T, conn net.Conn, pause time.Duration) string {
	t.Helper()
	all := strings.Builder{}
	piece := make([]byte, pieceBytes)
	for !strings.HasSuffix(all.String(), "\r\n0\r\n\r\n") {
		n, err := conn.Read(piece)
		if err != nil {
			t.Fatalf("after %d bytes: %v", all.Len(), err)
		}
		all.Write(piece[:n])
		time.Sleep(pause)
	}
	return all.String()
}

func TestAnAnswerThatNobodyReadsIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, left := time.Now(), make(chan error, 1)
		conn := connected(t, func(w http.ResponseWriter, _ *http.Request) {
			_, err := w.Write(make([]byte, 1<<20))
			left <- err
		})
		fmt.Fprint(conn, getAnswer)
		if err := <-left; err == nil {
			t.Error("all was written, though nobody reads")
		}
		if took := time.Since(began); took != stallTime {
			t.Errorf("cut off after %v, want %v", took, stallTime)
		}
	})
}

func TestWhoReadsSlowlyGetsTheWholeAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := connected(t, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "first ")
			time.Sleep(2 * stallTime) // what was written is still held back then
			_, _ = w.Write(bytes.Repeat([]byte("x"), 5*pieceBytes))
			_, _ = io.WriteString(w, " last")
		})
		fmt.Fprint(conn, getAnswer)
		// The server writes 4 KB at a time.
		all := wholeAnswer(t, conn, stallTime*9/10/16)
		if !strings.Contains(all, "first x") || !strings.Contains(all, " last\r\n") {
			t.Error("the answer is not whole")
		}
	})
}

// Many clients send all before they listen.
func TestWhoSendsNeedNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := connected(t, func(w http.ResponseWriter, r *http.Request) {
			control := http.NewResponseController(w)
			_ = control.EnableFullDuplex()
			written := make(chan error)
			go func() {
				_, err := w.Write(make([]byte, 1<<20))
				written <- err
			}()
			_, _ = io.Copy(io.Discard, r.Body)
			if err := <-written; err != nil {
				t.Error(err)
			}
		})
		fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 300\r\n\r\n")
		for range 300 {
			time.Sleep(stallTime / 10)
			fmt.Fprint(conn, "x")
		}
		if all := wholeAnswer(t, conn, 0); len(all) < 1<<20 {
			t.Errorf("%d bytes of the answer", len(all))
		}
	})
}

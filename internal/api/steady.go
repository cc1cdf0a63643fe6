package api

import (
	"io"
	"net/http"
	"time"
)

const (
	stallTime  = time.Minute      // a body of which nothing comes, an answer of which nothing is read, for so long is cut off
	pieceBytes = 64 << 10         // of an answer, each of which has that time
	drainTime  = 20 * time.Second // for reading what an early answer left of a body,
	drainBytes = 1 << 30          // of which there may be so much
)

// Steady bounds what a request can hold up: a body of which nothing comes is cut off, and so is an answer that nobody reads; a client that
// still sends need not read yet, since many send all before they listen. And when a request is answered before its body is
// read, the rest is read and thrown away, within bounds: many clients send all before they listen, and would see a
// connection that breaks in place of the answer.
func Steady(handler http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		answer := &steadyAnswer{ResponseWriter: w, control: control}
		// What is left in buffers is written when this has returned.
		defer answer.moreTime()
		if r.Body == nil || r.Body == http.NoBody {
			handler.ServeHTTP(answer, r)
			return
		}
		// A request with both a length and chunks must be the last on its connection (RFC 9112, section 6.3), or a proxy that goes by the
		// length would send on what is in truth another request. Which one had both is not told here.
		if r.ProtoMajor == 1 && len(r.TransferEncoding) > 0 {
			w.Header().Set("Connection", "close")
		}
		body := &steadyBody{ReadCloser: r.Body, control: control}
		r.Body = body
		handler.ServeHTTP(answer, r)
		// A client that waits for "100 Continue" has not sent a body that nobody has asked for.
		if body.ended || !body.begun && r.Header.Get("Expect") != "" {
			return
		}
		answer.moreTime()
		_ = control.Flush() // the answer is on its way while the rest comes
		_ = control.SetReadDeadline(time.Now().Add(drainTime))
		_, _ = io.CopyN(io.Discard, body.ReadCloser, drainBytes)
	})
}

// steadyBody gives each read of a body its own time.
type steadyBody struct {
	io.ReadCloser
	control      *http.ResponseController
	begun, ended bool
}

func (b *steadyBody) Read(p []byte) (int, error) {
	b.begun = true
	_ = b.control.SetReadDeadline(time.Now().Add(stallTime))
	n, err := b.ReadCloser.Read(p)
	// What is being written by another goroutine meanwhile is waited for by a client that sends.
	_ = b.control.SetWriteDeadline(time.Now().Add(stallTime))
	if err != nil {
		b.ended = true
		// The server itself goes on reading, to see whether the client leaves; that may take as long as the answer.
		_ = b.control.SetReadDeadline(time.Time{})
	}
	return n, err
}

// steadyAnswer gives each piece of an answer its own time.
type steadyAnswer struct {
	http.ResponseWriter
	control *http.ResponseController
}

func (a *steadyAnswer) Write(p []byte) (n int, err error) {
	for {
		a.moreTime()
		wrote, err := a.ResponseWriter.Write(p[:min(len(p), pieceBytes)])
		n += wrote
		if p = p[wrote:]; err != nil || len(p) == 0 {
			return n, err
		}
	}
}

func (a *steadyAnswer) moreTime() { _ = a.control.SetWriteDeadline(time.Now().Add(stallTime)) }

// FlushError lets go of what has been written.
func (a *steadyAnswer) FlushError() error {
	a.moreTime()
	return a.control.Flush()
}

// Unwrap is for [http.ResponseController].
func (a *steadyAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

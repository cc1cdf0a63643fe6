package intake

import (
	"bufio"
	"bytes"
	"io"
	"iter"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"

	"github.com/ocelli/ocelli"
)

const (
	maxFields = 1000     // parts of a form that are no files
	headBytes = 16 << 10 // what a part of a form begins with: its names and types
)

// Uploads returns the files of a request as a stream: of a multipart form, under whatever field names, or the body itself as
// one file. An archive, as the body or as a file of a form, stands for the files in it, and a list of URLs as JSON for what is there.
// No more of the body is read than Limits allow. An error of the sequence is an [ocelli.Error] that says what is wrong with the request.
func (in *Intake) Uploads(r *http.Request) iter.Seq2[Upload, error] {
	// Not told which answer it belongs to, the reader leaves that alone: it may be under way already.
	r.Body = http.MaxBytesReader(nil, r.Body, in.Limits.RequestBytes)
	mediaType, params, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	switch {
	case mediaType == "multipart/form-data" && params["boundary"] == "":
		return fail(ocelli.Errorf(ocelli.BadRequest, "the form has no boundary in its Content-Type: let your HTTP library set that header"))
	case mediaType == "multipart/form-data":
		return in.unpacked(form(r))
	}
	if mediaType == "application/json" {
		return in.listed(r)
	}
	if mediaType == "" && r.ContentLength == 0 {
		return fail(ocelli.Errorf(ocelli.NoImages, "the request has no body: send an image, or a form with images"))
	}
	body := bufio.NewReader(r.Body)
	// curl --data-binary calls everything a form of this type, also an image.
	if head, _ := body.Peek(sniffBytes); mediaType == "application/x-www-form-urlencoded" && isFields(head) {
		return fail(ocelli.Errorf(ocelli.NoImages, "the form has fields and no files: send files as multipart/form-data, or a picture as the body"))
	}
	return in.unpacked(func(yield func(Upload, error) bool) {
		yield(Upload{Name: r.URL.Query().Get("name"), Body: body}, nil)
	})
}

// isFields reports whether a body begins like the fields of a form without files, which consist of names, values and escapes
// (https://url.spec.whatwg.org/#urlencoded-serializing).
func isFields(head []byte) bool {
	const others = "=&+%*-._"
	for _, c := range head {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return bytes.IndexByte(head, '=') > 0
}

func fail(err error) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) { yield(Upload{}, err) }
}

// form yields the files of a multipart form. A browser sends a file input that was left empty as a part with an empty name and
// no bytes: that is no file.
func form(r *http.Request) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		heads := &headReader{ReadCloser: r.Body}
		r.Body = heads
		parts, err := r.MultipartReader()
		if err != nil {
			yield(Upload{}, ocelli.Errorf(ocelli.BadRequest, "the form cannot be read (%v): send it as multipart/form-data", err))
			return
		}
		for fields := 0; ; {
			part, err := heads.next(parts)
			if err == io.EOF {
				return
			}
			if err != nil {
				yield(Upload{}, brokenOff(err))
				return
			}
			if part.FileName() == "" {
				if fields++; fields > maxFields {
					yield(Upload{}, ocelli.Errorf(ocelli.BadRequest, "the form has more than %d fields that are no files: leave them out", maxFields))
					return
				}
			} else if !yield(Upload{Field: part.FormName(), Name: part.FileName(), Body: part}, nil) {
				return
			}
			part.Close() // reads what is left of it, which is no part of the next one's head
		}
	}
}

// headReader reads a form, and bounds what its parts begin with: the library would keep 10 MB of each in memory.
type headReader struct {
	io.ReadCloser
	inHead bool
	left   int // of the head
}

// next returns the next part; the one before has been read to its end.
func (h *headReader) next(parts *multipart.Reader) (*multipart.Part, error) {
	h.inHead, h.left = true, headBytes
	defer func() { h.inHead = false }()
	return parts.NextPart()
}

func (h *headReader) Read(p []byte) (int, error) {
	if h.inHead && h.left <= 0 {
		return 0, ocelli.Errorf(ocelli.BadRequest, "a part of the form begins with more than %d KB of names and types: send shorter file names", headBytes>>10)
	}
	n, err := h.ReadCloser.Read(p)
	h.left -= n
	return n, err
}

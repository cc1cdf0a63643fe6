// Package thumb makes small copies of pictures, in processes that do nothing else.
//
// The bytes of a picture are a stranger's. A web node must not decode them, and workers, which may, are not there when nobody has sent
// anything for a while. So [Maker] starts children of its own when a small copy is asked for, hands them one picture at a time over a pipe, and
// ends them when nobody has asked for a minute. A child runs [Serve] and needs neither files nor network. One that crashes or
// takes too long costs its own picture only.
package thumb

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"time"

	"golang.org/x/image/draw"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/decode"
)

const (
	// shortSide of a small copy in pixels: what a card of the page shows on a screen of two pixels to the point.
	shortSide = 324
	// mostStretch is how many times the short side the long one may be; what is longer is cut around its middle.
	mostStretch = 3
	quality     = 80

	// Time is how long a child may take for one picture.
	Time = 10 * time.Second
	// largest is how many bytes of an original or a copy pass the pipe.
	largest = 1 << 30
)

// What a child answers with: a copy, or the sentence why there is none.
const (
	made   = 'j'
	failed = 'e'
)

// Serve makes copies of the pictures that come over in until that ends. It reports an error where the pipe breaks.
func Serve(in io.Reader, out io.Writer) error {
	from := bufio.NewReader(in)
	decoder := decode.New(decode.Limits{})
	for {
		data, err := readFrame(from)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		kind, answer := byte(made), []byte(nil)
		if answer, err = small(decoder, data); err != nil {
			kind, answer = failed, []byte(err.Error())
		}
		if _, err := out.Write([]byte{kind}); err != nil {
			return err
		}
		if err := writeFrame(out, answer); err != nil {
			return err
		}
	}
}

// small returns a small copy of a picture as a JPEG.
func small(decoder *decode.Decoder, data []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), Time)
	defer cancel()
	p, err := decoder.Decode(ctx, data, shortSide)
	if err != nil {
		return nil, err
	}
	from := rgb{p.Pixels}
	cut := middle(p.Width, p.Height)
	scale := min(1, float64(shortSide)/float64(min(cut.Dx(), cut.Dy())))
	to := image.NewRGBA(image.Rect(0, 0, max(1, int(scale*float64(cut.Dx()))), max(1, int(scale*float64(cut.Dy())))))
	draw.ApproxBiLinear.Scale(to, to.Bounds(), from, cut, draw.Src, nil)
	var out bytes.Buffer
	if err := jpeg.Encode(&out, to, &jpeg.Options{Quality: quality}); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// middle is the part of a picture of the size that is shown.
func middle(width, height int) image.Rectangle {
	w, h := min(width, mostStretch*height), min(height, mostStretch*width)
	x, y := (width-w)/2, (height-h)/2
	return image.Rect(x, y, x+w, y+h)
}

// readFrame returns what [writeFrame] wrote, and io.EOF where nothing more comes.
func readFrame(r io.Reader) ([]byte, error) {
	var size uint32
	if err := binary.Read(r, binary.LittleEndian, &size); err != nil {
		return nil, err
	}
	if size > largest {
		return nil, fmt.Errorf("a picture of %d bytes is too large for a small copy", size)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(r, data); err != nil {
		return nil, fmt.Errorf("reading a picture: %w", err)
	}
	return data, nil
}

func writeFrame(w io.Writer, data []byte) error {
	if err := binary.Write(w, binary.LittleEndian, uint32(len(data))); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// refused is what a child says about a picture, to be put after its name.
func refused(sentence []byte) error { return ocelli.Errorf(ocelli.CorruptImage, "%.300s", sentence) }

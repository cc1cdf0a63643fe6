package decode

// #cgo CFLAGS: -O2
// #include "jpeg.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/ocelli/ocelli"
)

// Limits on the work that one JPEG may ask for, whatever its size. A progressive JPEG has about 10 scans, which go over
// its blocks 8 times.
const (
	maxScans        = 500
	maxBlockVisits  = 16      // times the blocks of the picture
	freeBlockVisits = 1 << 20 // that any picture may have
)

// openJPEG reads the headers of a JPEG.
func openJPEG(data []byte) (stored, error) {
	frame, err := readFrame(data)
	if err != nil {
		return stored{}, err
	}
	limits := C.struct_jpeg_limits{
		memory: 1 << 20,
		scans:  maxScans,
		blocks: C.int64_t(maxBlockVisits*frame.blocks() + freeBlockVisits),
	}
	memory := int64(frame.width) * 256 // rows of blocks on their way from the coefficients to the pixels
	if frame.buffered {
		coefficients := frame.blocks() * 64 * 2
		memory += coefficients
		limits.memory += C.long(coefficients)
	}
	return stored{
		width: frame.width, height: frame.height, orientation: frame.orientation,
		memory: memory,
		shrink: eighths,
		decode: func(ctx context.Context, w, h int) ([]byte, error) {
			return decodeJPEG(ctx, data, w, h, eighthsOf(frame.width, frame.height, w, h), limits)
		},
	}, nil
}

// eighths is the shrinker of libjpeg: a picture can be scaled by n/8 at almost no cost, because its blocks of 8 × 8
// coefficients are turned into blocks of n × n pixels.
func eighths(width, height, shortSide int) (w, h int) {
	n := 8
	if shortSide > 0 {
		for n > 1 && min(width, height)*(n-1) >= shortSide*8 {
			n--
		}
	}
	return scaled(width, n), scaled(height, n)
}

// eighthsOf returns the largest n for which n/8 of width × height are w × h.
func eighthsOf(width, height, w, h int) int {
	n := 8
	for n > 1 && (scaled(width, n) != w || scaled(height, n) != h) {
		n--
	}
	return n
}

func scaled(side, n int) int { return (side*n + 7) / 8 }

func decodeJPEG(ctx context.Context, data []byte, w, h, n int, limits C.struct_jpeg_limits) ([]byte, error) {
	var stop int32 // read by C while the function below may write it
	defer context.AfterFunc(ctx, func() { atomic.StoreInt32(&stop, 1) })()
	rgb := room(w * h * 3)
	var message [200]C.char
	outcome := C.jpeg_decode((*C.uchar)(unsafe.SliceData(data)), C.size_t(len(data)), (*C.uchar)(unsafe.SliceData(rgb)),
		C.int(w), C.int(h), C.int(n), &limits, (*C.int32_t)(&stop), &message[0])
	switch outcome {
	case C.JPEG_OK:
		return rgb, nil
	case C.JPEG_STOPPED:
		return nil, ctx.Err()
	case C.JPEG_TRUNCATED:
		return nil, errEndsEarly
	case C.JPEG_TOO_MUCH_WORK:
		return nil, ocelli.Errorf(ocelli.TooManyPixels, "takes too much work to decode: it draws its pixels over and over, in hundreds of scans; save it anew")
	}
	return nil, errors.New(C.GoString(&message[0]))
}

// jpegFrame is what the headers of a JPEG say, up to its first scan.
type jpegFrame struct {
	width, height int
	orientation   int
	buffered      bool // in several scans, so that all coefficients are kept until the last
	components    []jpegComponent
	maxH, maxV    int
}

type jpegComponent struct{ h, v int } // sampling factors

// blocks returns the number of blocks of 8 × 8 samples in the frame, padding included.
func (f *jpegFrame) blocks() int64 {
	unitsAcross := (f.width + 8*f.maxH - 1) / (8 * f.maxH)
	unitsDown := (f.height + 8*f.maxV - 1) / (8 * f.maxV)
	var perUnit int
	for _, c := range f.components {
		perUnit += c.h * c.v
	}
	return int64(unitsAcross) * int64(unitsDown) * int64(perUnit)
}

// readFrame reads the marker segments of a JPEG up to its first scan: ITU-T T.81, annex B. Like libjpeg, it skips
// whatever stands between segments.
func readFrame(data []byte) (*jpegFrame, error) {
	var frame *jpegFrame
	orientation := 0
	for rest := data[2:]; ; {
		marker, segment, after, err := nextSegment(rest)
		if err != nil {
			return nil, err
		}
		rest = after
		switch {
		case marker == 0xe1 && orientation == 0 && len(segment) > 6 && string(segment[:6]) == "Exif\x00\x00":
			orientation = orientationOf(segment[6:])
		case marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc:
			if frame != nil {
				return nil, errors.New("it has two frame headers")
			}
			if frame, err = parseFrame(marker, segment); err != nil {
				return nil, err
			}
		case marker == 0xda:
			if frame == nil || len(segment) < 1 {
				return nil, errors.New("it has a scan before its frame header")
			}
			frame.orientation = orientation
			frame.buffered = frame.buffered || int(segment[0]) < len(frame.components)
			return frame, nil
		case marker == 0xd9:
			return nil, errors.New("it has no pixels")
		}
	}
}

// nextSegment returns the next marker, what its segment holds, and what follows.
func nextSegment(data []byte) (marker byte, segment, after []byte, err error) {
	for i := 0; i+1 < len(data); i++ {
		if data[i] != 0xff || data[i+1] == 0xff || data[i+1] == 0 {
			continue
		}
		marker, data = data[i+1], data[i+2:]
		if marker == 0x01 || marker >= 0xd0 && marker <= 0xd9 {
			return marker, nil, data, nil // these stand alone
		}
		if len(data) < 2 {
			break
		}
		n := int(be16(data))
		if n < 2 {
			return 0, nil, nil, fmt.Errorf("a segment has a length of %d", n)
		}
		if n > len(data) {
			break
		}
		return marker, data[2:n], data[n:], nil
	}
	return 0, nil, nil, errEndsEarly
}

func parseFrame(marker byte, segment []byte) (*jpegFrame, error) {
	if len(segment) < 6 || len(segment) < 6+3*int(segment[5]) {
		return nil, errors.New("its frame header is too short")
	}
	switch {
	case marker == 0xc3 || marker >= 0xc5 && marker <= 0xc7 || marker >= 0xcb && marker != 0xce:
		return nil, unsupported("is a lossless or hierarchical JPEG, which is not read here; save it as an ordinary JPEG or a PNG")
	case segment[0] != 8:
		return nil, unsupported("is a JPEG of %d bits per colour, and only 8 are read here; save it as an ordinary JPEG or a PNG", segment[0])
	case segment[5] != 1 && segment[5] != 3 && segment[5] != 4:
		return nil, unsupported("is a JPEG of %d colour components, and only 1, 3 and 4 are read here; save it as an ordinary JPEG or a PNG", segment[5])
	}
	f := &jpegFrame{
		height: int(be16(segment[1:])), width: int(be16(segment[3:])),
		buffered: marker == 0xc2 || marker == 0xca, // progressive
	}
	for c := segment[6 : 6+3*int(segment[5])]; len(c) > 0; c = c[3:] {
		h, v := int(c[1]>>4), int(c[1]&15)
		if h < 1 || h > 4 || v < 1 || v > 4 {
			return nil, errors.New("its sampling factors are out of range")
		}
		f.components = append(f.components, jpegComponent{h, v})
		f.maxH, f.maxV = max(f.maxH, h), max(f.maxV, v)
	}
	return f, nil
}

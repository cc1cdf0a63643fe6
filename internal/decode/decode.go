// Package decode turns the bytes of an image file into upright 8-bit RGB pixels.
//
// The bytes are taken to be hostile. What a picture would cost is worked out from its header before
// anything is allocated, and decoding is refused, waits for its turn or is cut short accordingly:
//
//   - [Sniff] and [Check] look at the first bytes only: which format is it, and is it read here?
//   - each format has a file of its own, with a function that reads the header and returns a stored
//     picture: its size, its orientation and the memory that decoding it takes;
//   - [Decoder.Decode] holds the [Limits] against that, waits until the memory is free, decodes, and turns
//     the picture upright.
//
// JPEG is decoded by libjpeg-turbo (jpeg.c), which scales while it decodes; the other formats by Go code,
// which averages whole blocks of pixels when the picture is much larger than what is asked for.
package decode

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"golang.org/x/sync/semaphore"

	"github.com/ocelli/ocelli"
)

// Limits bound what decoding may cost. A field that is 0 stands for its default.
//
// They count what is in use. For the process to stay near TotalBytes, the garbage collector must be told too: set
// debug.SetMemoryLimit, or GOMEMLIMIT, to about TotalBytes. Left alone, it lets the heap grow to twice what is in use.
type Limits struct {
	MaxPixels  int64 // width × height of one image; default 100 million
	MaxBytes   int64 // memory that decoding one image may take; default 256 MiB
	TotalBytes int64 // memory of all the images being decoded at one time; further ones wait; default 384 MiB
}

func (l Limits) withDefaults() Limits {
	if l.MaxPixels == 0 {
		l.MaxPixels = 100e6
	}
	if l.MaxBytes == 0 {
		l.MaxBytes = 256 << 20
	}
	if l.TotalBytes == 0 {
		l.TotalBytes = 384 << 20
	}
	return l
}

// Decoder decodes images within its limits. Its methods may be called from any number of goroutines.
type Decoder struct {
	limits Limits
	memory *semaphore.Weighted
}

// New returns a Decoder that keeps to the limits.
func New(limits Limits) *Decoder {
	limits = limits.withDefaults()
	return &Decoder{limits: limits, memory: semaphore.NewWeighted(limits.TotalBytes)}
}

// Picture is a decoded image. Its Pixels may be a scaled-down copy of the whole.
type Picture struct {
	ocelli.Pixels
	FullWidth, FullHeight int    // pixels of the whole upright image
	Format                string // media type, such as "image/jpeg"
}

// stored is a picture whose header has been read and whose pixels have not.
type stored struct {
	width, height int // as stored, before the orientation is applied
	orientation   int // 1 to 8 as in EXIF; 0 where the file does not say
	memory        int64
	worst         int64 // memory that a file made to do harm can take; at least memory
	shrink        shrinker
	decode        decodeFunc
}

// A shrinker returns the size, at most width × height, that a picture is decoded to where its short side is not to
// fall below shortSide; 0 asks for the whole picture.
type shrinker func(width, height, shortSide int) (w, h int)

// A decodeFunc returns the picture scaled to w × h, a size that the shrinker gave, as interleaved RGB.
type decodeFunc func(ctx context.Context, w, h int) ([]byte, error)

// Decode returns the picture that data holds. Where shortSide is above 0, the pixels may be scaled down, but
// the short side stays at or above shortSide, or at its own length where that is less.
//
// An error about the image is an [*ocelli.Error]: permanent, and a sentence that lacks its subject, to be put after
// the name of the file ("is not an image: it begins like plain text"). Any other error is that of ctx, whose end is
// noticed between rows of a JPEG and whenever another decoder reads on. data is not changed or kept.
func (d *Decoder) Decode(ctx context.Context, data []byte, shortSide int) (Picture, error) {
	if err := Check(data); err != nil {
		return Picture{}, err
	}
	f := formatOf(data)
	s, err := open(f, data)
	if err != nil {
		return Picture{}, imageError(ctx, f, err)
	}
	w, h := s.shrink(s.width, s.height, shortSide)
	result := int64(w) * int64(h) * 3
	if s.orientation > 1 {
		result *= 2 // turning it takes a second copy
	}
	s.memory, s.worst = s.memory+result, max(s.memory, s.worst)+result
	if err := d.admit(s); err != nil {
		return Picture{}, err
	}
	if err := d.memory.Acquire(ctx, s.worst); err != nil {
		return Picture{}, fmt.Errorf("wait for memory to decode in: %w", err)
	}
	defer d.release(s)

	rgb, err := pixels(ctx, s, w, h)
	if err != nil {
		return Picture{}, imageError(ctx, f, err)
	}
	p := Picture{
		Pixels:     upright(ocelli.Pixels{Width: w, Height: h, RGB: rgb}, s.orientation),
		FullWidth:  s.width,
		FullHeight: s.height,
		Format:     f.mediaType,
	}
	if turned(s.orientation) {
		p.FullWidth, p.FullHeight = s.height, s.width
	}
	return p, nil
}

// open reads the header. Decoders of many hands run from here on: a panic in one is the image's fault.
func open(f *format, data []byte) (s stored, err error) {
	defer recovered(&err)
	if s, err = f.open(data); err != nil {
		return stored{}, err
	}
	if s.width < 1 || s.height < 1 {
		return stored{}, fmt.Errorf("its size is %d × %d pixels", s.width, s.height)
	}
	return s, nil
}

func pixels(ctx context.Context, s stored, w, h int) (rgb []byte, err error) {
	defer recovered(&err)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return s.decode(ctx, w, h)
}

func recovered(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("its decoder stopped at %v", r)
	}
}

// admit refuses a picture that is over a limit.
func (d *Decoder) admit(s stored) error {
	const million, mib = 1e6, 1 << 20
	if n := int64(s.width) * int64(s.height); n > d.limits.MaxPixels {
		return ocelli.Errorf(ocelli.TooManyPixels, "has too many pixels: %d × %d are %.1f million, and at most %.1f million are read; make it smaller",
			s.width, s.height, float64(n)/million, float64(d.limits.MaxPixels)/million)
	}
	if s.memory > d.limits.MaxBytes {
		return ocelli.Errorf(ocelli.TooManyPixels, "is too large: decoding its %d × %d pixels would take %d MiB of memory, and at most %d MiB are given to one image; make it smaller",
			s.width, s.height, s.memory/mib, d.limits.MaxBytes/mib)
	}
	if s.worst > d.limits.TotalBytes {
		return ocelli.Errorf(ocelli.TooManyPixels, "is too large: decoding its %d × %d pixels could take %d MiB of memory, and there are %d MiB; make it smaller, or save it as a JPEG",
			s.width, s.height, s.worst/mib, d.limits.TotalBytes/mib)
	}
	return nil
}

// large is the size from which on the memory of a decode is given back to the system when it ends.
const large = 64 << 20

// release lets others have the memory. What a large decode leaves behind is collected first: Go would otherwise
// allocate the next large picture beside the garbage of this one, and the process would grow past TotalBytes.
func (d *Decoder) release(s stored) {
	if s.memory >= large {
		debug.FreeOSMemory()
	}
	d.memory.Release(s.worst)
}

// imageError turns what a decoder of format f complained of into the sentence that people see.
func imageError(ctx context.Context, f *format, err error) error {
	switch {
	case ctx.Err() != nil: // some decoders do not wrap what they met, so err itself does not tell
		return fmt.Errorf("decode %s: %w", f.mediaType, ctx.Err())
	case ocelli.AsError(err) != nil:
		return ocelli.AsError(err)
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return ocelli.Errorf(ocelli.CorruptImage, "is cut short: it begins like %s and ends too early", f.name)
	}
	return ocelli.Errorf(ocelli.CorruptImage, "is damaged: it begins like %s and cannot be decoded (%v)", f.name, err)
}

// unsupported is the error of a file that is sound and of a kind that is not read here.
func unsupported(format string, args ...any) error {
	return ocelli.Errorf(ocelli.UnsupportedType, format, args...)
}

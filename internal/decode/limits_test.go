package decode

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ocelli/ocelli"
)

// bombs are small files that ask for a great deal.
func bombs(t testing.TB) map[string][]byte {
	png := slices.Concat([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"), be(60000), be(60000), []byte{8, 6, 0, 0, 0})
	png = slices.Concat(png, be(crc32.ChecksumIEEE(png[12:])), make([]byte, 20))
	bmp := make([]byte, 54)
	copy(bmp, "BM")
	bmp[10], bmp[14], bmp[26], bmp[28] = 54, 40, 1, 24
	binary.LittleEndian.PutUint32(bmp[18:], 1<<31-1)
	binary.LittleEndian.PutUint32(bmp[22:], 1<<31-1)
	gif := []byte("GIF89a\xff\xff\xff\xff\x80\x00\x00\x00\x00\x00\xff\xff\xff,\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02\x02\x4c\x01\x00;")
	frame := []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff,\xff\xff\xff\xff\xff\xff\xff\xff\x00\x02\x02\x4c\x01\x00;")
	jpeg := bytes.Clone(read(t, "plain.jpg"))
	copy(jpeg[frameHeader(t, jpeg)+3:], "\xff\xdc\xff\xdc")
	tiff := []byte("II*\x00\x08\x00\x00\x00\x02\x00")
	tiff = append(tiff, "\x00\x01\x04\x00\x01\x00\x00\x00\xff\xff\xff\xff\x01\x01\x04\x00\x01\x00\x00\x00\xff\xff\xff\xff\x00\x00\x00\x00"...)
	return map[string][]byte{
		"PNG": png, "BMP": bmp, "GIF": gif, "GIF frame": frame, "JPEG": jpeg, "TIFF": tiff,
		"WebP": []byte("RIFF\x12\x00\x00\x00WEBPVP8L\x0a\x00\x00\x00\x2f\xff\xff\xff\x0f\x00\x00\x00\x00\x00"),
	}
}

func be(v uint32) []byte { return binary.BigEndian.AppendUint32(nil, v) }

func TestBombsAreRefusedBeforeAnythingIsAllocated(t *testing.T) {
	for name, data := range bombs(t) {
		t.Run(name, func(t *testing.T) {
			fails(t, New(Limits{}), data, ocelli.TooManyPixels, "too many pixels")
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			New(Limits{}).Decode(context.Background(), data, 224)
			runtime.ReadMemStats(&after)
			allocated := after.TotalAlloc - before.TotalAlloc
			if allocated > 64<<10 {
				t.Errorf("refusing it allocates %d bytes", allocated)
			}
		})
	}
}

// What a WebP says in one place must hold for the picture that is decoded from it, wherever else it says something smaller.
func TestWebPThatSaysTwoSizes(t *testing.T) {
	chunk := func(name string, body []byte) []byte {
		return append(binary.LittleEndian.AppendUint32([]byte(name), uint32(len(body))), append(body, make([]byte, len(body)&1)...)...)
	}
	file := func(chunks ...[]byte) []byte {
		body := slices.Concat(append([][]byte{[]byte("WEBP")}, chunks...)...)
		return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
	}
	three := func(v int) []byte { return []byte{byte(v), byte(v >> 8), byte(v >> 16)} }
	canvas := func(side int) []byte {
		return chunk("VP8X", slices.Concat(make([]byte, 4), three(side-1), three(side-1)))
	}
	picture := func(side int) []byte { // of one colour, whose five codes have one symbol each: its pixels take no bits
		return chunk("VP8L", append(binary.LittleEndian.AppendUint32([]byte{0x2f}, uint32(side-1|(side-1)<<14)), 0x88, 0x88, 0x08, 0, 0))
	}
	frame := func(side int, chunks ...[]byte) []byte {
		return chunk("ANMF", append(slices.Concat(make([]byte, 6), three(side-1), three(side-1), make([]byte, 4)), slices.Concat(chunks...)...))
	}
	for name, data := range map[string][]byte{
		"a canvas behind the picture":      file(picture(4000), canvas(1)),
		"two canvases":                     file(canvas(4000), picture(4000), canvas(1)),
		"two canvases before it":           file(canvas(4000), canvas(1), picture(4000)),
		"a canvas of another size":         file(canvas(1), picture(4000)),
		"a frame of another size":          file(canvas(1), frame(1, picture(4000))),
		"a frame with a canvas":            file(canvas(1), frame(1, canvas(4000), picture(4000))),
		"a frame with a canvas and alpha":  file(canvas(1), frame(1, chunk("ALPH", []byte{0}), canvas(4000), picture(4000))),
		"a frame with something before it": file(canvas(1), frame(1, chunk("EXIF", nil), picture(1), picture(4000))),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		fails(t, New(Limits{MaxPixels: 1000}), data, ocelli.CorruptImage)
		runtime.ReadMemStats(&after)
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 1<<20 {
			t.Errorf("%s: refusing it allocates %d bytes", name, allocated)
		}
	}
	fails(t, New(Limits{MaxPixels: 1000}), file(canvas(4000), picture(4000)), ocelli.TooManyPixels)
	for name, data := range map[string][]byte{"plain": file(picture(30)), "with a canvas": file(canvas(30), picture(30)), "animated": file(canvas(40), frame(30, picture(30)))} {
		if p, err := New(Limits{}).Decode(context.Background(), data, 0); err != nil || p.Width < 30 {
			t.Errorf("%s: %d × %d pixels, %v", name, p.Width, p.Height, err)
		}
	}
}

func TestLimits(t *testing.T) {
	plain, progressive := jpegOf(t, smooth(400, 300)), read(t, "progressive.jpg")
	fails(t, New(Limits{MaxPixels: 119_999}), plain, ocelli.TooManyPixels, "400 × 300", "make it smaller")
	if _, err := New(Limits{MaxPixels: 120_000}).Decode(context.Background(), plain, 0); err != nil {
		t.Error("a picture of exactly as many pixels as allowed:", err)
	}
	fails(t, New(Limits{MaxBytes: 60_000}), plain, ocelli.TooManyPixels, "memory")
	f, err := readFrame(progressive)
	if err != nil {
		t.Fatal(err)
	}
	s, err := openJPEG(progressive)
	if err != nil {
		t.Fatal(err)
	}
	if !f.buffered || s.memory < f.blocks()*128 || f.blocks() != 4*3*6 {
		t.Errorf("a progressive JPEG of 61 × 43 in 4:2:0 counts %d blocks and %d bytes", f.blocks(), s.memory)
	}
}

func TestManyScansAreStopped(t *testing.T) {
	// A grey progressive JPEG of 8000 × 8000 whose scans say "nothing in the next 32767 blocks" until the end.
	data := []byte("\xff\xd8\xff\xc2\x00\x0b\x08\x1f\x40\x1f\x40\x01\x01\x11\x00\xff\xdb\x00\x43\x00")
	data = append(data, bytes.Repeat([]byte{1}, 64)...)
	// One Huffman table for AC: the single code 0, for the end of bands in 2^14 blocks and as many as 14 bits add.
	data = append(data, "\xff\xc4\x00\x14\x10\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xe0"...)
	scan := []byte("\xff\xda\x00\x08\x01\x01\x00\x01\x3f\x00")
	bits, n := 0, 0
	for range 31 {
		bits, n = bits<<15|0x3fff, n+15
		for ; n >= 8; n -= 8 {
			if scan = append(scan, byte(bits>>(n-8))); scan[len(scan)-1] == 0xff {
				scan = append(scan, 0)
			}
		}
	}
	scan = append(scan, byte(bits<<(8-n)|1<<(8-n)-1))
	few := slices.Concat(data, bytes.Repeat(scan, 3), []byte{0xff, 0xd9})
	if _, err := New(Limits{}).Decode(context.Background(), few, 224); err != nil {
		t.Fatal("three scans:", err)
	}
	many := slices.Concat(data, bytes.Repeat(scan, 2000), []byte{0xff, 0xd9})
	fails(t, New(Limits{}), many, ocelli.TooManyPixels, "too much work")
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := New(Limits{}).Decode(ctx, many, 224); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v, want that the time is up, noticed within libjpeg", err)
	}
}

func TestDecodesWaitForMemory(t *testing.T) {
	data := pngOf(t, image.NewGray(image.Rect(0, 0, 100, 100)))
	synctest.Test(t, func(t *testing.T) {
		d := New(Limits{})
		if !d.memory.TryAcquire(384 << 20) {
			t.Fatal("the whole memory is not free at first")
		}
		done := make(chan error)
		go func() {
			_, err := d.Decode(context.Background(), data, 0)
			done <- err
		}()
		synctest.Wait()
		select {
		case err := <-done:
			t.Fatal("decoded while there was no memory:", err)
		default:
		}
		d.memory.Release(384 << 20)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if !d.memory.TryAcquire(384 << 20) {
			t.Error("memory was not given back")
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := d.Decode(ctx, data, 0); !errors.Is(err, context.Canceled) || ocelli.AsError(err) != nil {
			t.Errorf("error of a wait that was given up is %v", err)
		}
	})
}

func TestPanicOfADecoderIsTheImagesFault(t *testing.T) {
	f := &format{name: "a PNG", open: func([]byte) (stored, error) { panic("index out of range") }}
	_, err := open(f, nil)
	if e := ocelli.AsError(imageError(context.Background(), f, err)); e == nil || e.Code != ocelli.CorruptImage {
		t.Errorf("error of a header is %v", err)
	}
	s := stored{decode: func(context.Context, int, int) ([]byte, error) { panic("index out of range") }}
	_, err = pixels(context.Background(), s, 1, 1)
	if e := ocelli.AsError(imageError(context.Background(), f, err)); e == nil || e.Code != ocelli.CorruptImage {
		t.Errorf("error of pixels is %v", err)
	}
}

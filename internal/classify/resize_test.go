package classify

import (
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/ocelli/ocelli"
)

// noise returns a picture of pseudo-random pixels.
func noise(width, height int) ocelli.Pixels {
	img := ocelli.Pixels{Width: width, Height: height, RGB: make([]byte, 3*width*height)}
	s := uint32(width*31 + height)
	for i := range img.RGB {
		s = (s*1103515245 + 12345) & 0x7fffffff
		img.RGB[i] = byte(s >> 16)
	}
	return img
}

// The checksums are of what Pillow 13.0.0 makes of the same pictures with resize(…, BILINEAR) and crop.
func TestResizeIsPillows(t *testing.T) {
	for _, test := range []struct {
		width, height int
		window        window
		want          uint32
	}{
		{500, 375, window{341, 256, 58, 16, 224, 224}, 0x725f8dea},
		{37, 91, window{256, 629, 16, 202, 224, 224}, 0xd7bdca5b},
		{64, 64, window{64, 64, 0, 0, 64, 64}, 0x9bdde840},
		{64, 64, window{256, 256, 16, 16, 224, 224}, 0x0ee67caa},
		{1000, 3, window{85333, 256, 42554, 16, 224, 224}, 0x5bd69569},
		{375, 500, window{256, 341, 16, 58, 224, 224}, 0x41162554},
		{640, 1138, window{64, 113, 0, 24, 64, 64}, 0xfe721fbc},
		{256, 300, window{256, 300, 16, 38, 224, 224}, 0xef975344},
		{1, 1, window{64, 64, 0, 0, 64, 64}, 0xda4de685},
		{2000, 1500, window{73, 55, 0, 0, 73, 55}, 0xc3bfa5c1},
		{7, 5, window{3, 2, 0, 0, 3, 2}, 0x16e46c19},
	} {
		t.Run(fmt.Sprintf("%dx%d", test.width, test.height), func(t *testing.T) {
			got := new(scratch).resize(noise(test.width, test.height), test.window)
			if sum := crc32.ChecksumIEEE(got); sum != test.want {
				t.Errorf("%d bytes with the checksum %08x, want %08x", len(got), sum, test.want)
			}
		})
	}
}

func TestWindowsStayInsideThePicture(t *testing.T) {
	fixed := &Spec{Width: 224, Height: 224, Resize: 256}
	wide := &Spec{Width: 64, Height: 32, Resize: 64}
	native := &Spec{}
	for _, size := range [][2]int{{1, 1}, {1, 5000}, {5000, 1}, {256, 256}, {257, 256}, {4032, 3024}, {30000, 2}, {2, 30000}} {
		img := ocelli.Pixels{Width: size[0], Height: size[1]}
		for _, spec := range []*Spec{fixed, wide, native} {
			w := spec.window(img)
			if w.left < 0 || w.top < 0 || w.left+w.width > w.scaledWidth || w.top+w.height > w.scaledHeight {
				t.Errorf("%v: the window is %+v", size, w)
			}
			if w.width*w.height > maxNative || w.width < 1 || w.height < 1 {
				t.Errorf("%v: the input has %d×%d pixels", size, w.width, w.height)
			}
		}
	}
}

func BenchmarkFill(b *testing.B) {
	f := NewFiller[float32](&Spec{ChannelsFirst: true, Width: 224, Height: 224, Resize: 256, Scale: 1. / 255, Std: [3]float64{1, 1, 1}})
	dst := make([]float32, 3*224*224)
	for _, size := range [][2]int{{375, 281}, {500, 375}, {1920, 1080}} {
		img := noise(size[0], size[1])
		b.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(b *testing.B) {
			for b.Loop() {
				if err := f.Fill(dst, img); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

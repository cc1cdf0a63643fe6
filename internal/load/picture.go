package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/client"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/decode"
)

// Picture is an image whose answer is known.
type Picture struct {
	Data   []byte
	Ext    string      // of its name: ".jpg"
	Code   ocelli.Code // of the error that it must be answered with; "" for a good one
	Width  int         // pixels of the whole upright picture
	Height int
	Colour string // what the model echo must name
}

const (
	mostPictures = 500       // of a pool,
	mostBytes    = 512 << 20 // which is held in memory
)

// Generate makes n different pictures of width × height pixels and a little more: each is one pixel wider than the one before, so that an
// answer tells which picture it belongs to. The same seed makes the same ones.
func Generate(ctx context.Context, n, width, height int, seed uint64) ([]*Picture, error) {
	if n < 1 || n > mostPictures || width < 8 || height < 8 || width > 8000 || height > 8000 {
		return nil, fmt.Errorf("%d pictures of %d × %d pixels are not possible: ask for 1 to %d, of 8 to 8000 pixels each way", n, width, height, mostPictures)
	}
	var pool []*Picture
	for i := range n {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, paint(width+i, height, rand.New(rand.NewPCG(seed, uint64(i)))), &jpeg.Options{Quality: 85}); err != nil {
			return nil, err
		}
		p, err := know(ctx, b.Bytes(), ".jpg")
		if err != nil {
			return nil, err
		}
		pool = append(pool, p)
	}
	return pool, nil
}

// paint covers about a third of a plain picture with speckled boxes, which cost a decoder what photos do.
func paint(width, height int, chance *rand.Rand) image.Image {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	grounds := []color.RGBA{{255, 0, 0, 255}, {0, 255, 0, 255}, {0, 0, 255, 255}, {255, 255, 0, 255}, {255, 255, 255, 255}, {0, 0, 0, 255}}
	draw.Draw(img, img.Bounds(), image.NewUniform(grounds[chance.IntN(len(grounds))]), image.Point{}, draw.Src)
	for range 12 {
		base := [3]int{chance.IntN(200), chance.IntN(200), chance.IntN(200)}
		x0, y0 := chance.IntN(width), chance.IntN(height)
		for y := y0; y < min(height, y0+height/5); y++ {
			for x := x0; x < min(width, x0+width/5); x++ {
				speck := chance.IntN(56)
				img.SetRGBA(x, y, color.RGBA{uint8(base[0] + speck), uint8(base[1] + speck), uint8(base[2] + speck), 255})
			}
		}
	}
	return img
}

// ReadFolder reads the files of a folder, and of those below it, until the pool is full. Files that are no images are part of it: the answer
// to them is known as well.
func ReadFolder(ctx context.Context, dir string) ([]*Picture, error) {
	var pool []*Picture
	var bytes int64
	errFull := errors.New("full")
	err := filepath.WalkDir(dir+string(filepath.Separator), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if bytes += int64(len(data)); bytes > mostBytes || len(pool) == mostPictures {
			return errFull
		}
		p, err := know(ctx, data, strings.ToLower(filepath.Ext(path)))
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		pool = append(pool, p)
		return nil
	})
	if err != nil && !errors.Is(err, errFull) {
		return nil, fmt.Errorf("reading pictures to send: %w", err)
	}
	if len(pool) == 0 {
		return nil, fmt.Errorf("there is no file in %s that could be sent", dir)
	}
	return pool, nil
}

// know finds out here what a service must answer.
func know(ctx context.Context, data []byte, ext string) (*Picture, error) {
	p := &Picture{Data: data, Ext: ext}
	decoded, err := decode.New(decode.Limits{}).Decode(ctx, data, classify.Echo{}.ShortSide())
	if e := ocelli.AsError(err); e != nil {
		p.Code = e.Code
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	p.Width, p.Height = decoded.FullWidth, decoded.FullHeight
	labels, err := classify.Echo{}.Classify(ctx, decoded.Pixels)
	if err != nil {
		return nil, err
	}
	p.Colour = labels[0][0].Name
	return p, nil
}

// sent is a picture on its way, under a name that no other has.
type sent struct {
	*Picture
	name string
}

func (s sent) reader() io.Reader { return bytes.NewReader(s.Data) }

func files(images []sent) iter.Seq[client.File] {
	return func(yield func(client.File) bool) {
		for _, s := range images {
			if !yield(client.File{Name: s.name, Open: func() (io.ReadCloser, error) { return io.NopCloser(s.reader()), nil }}) {
				return
			}
		}
	}
}

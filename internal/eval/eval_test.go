package eval_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/eval"
	"github.com/ocelli/ocelli/internal/work/worktest"
)

// decodePNG stands for the decoder of the service.
func decodePNG(_ context.Context, data []byte, _ int) (ocelli.Pixels, error) {
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return ocelli.Pixels{}, ocelli.Errorf(ocelli.CorruptImage, "is broken")
	}
	size := img.Bounds().Size()
	p := ocelli.Pixels{Width: size.X, Height: size.Y}
	for y := range size.Y {
		for x := range size.X {
			r, g, b, _ := img.At(x, y).RGBA()
			p.RGB = append(p.RGB, byte(r>>8), byte(g>>8), byte(b>>8))
		}
	}
	return p, nil
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func picture(r, g, b byte) []byte { return worktest.Picture(color.RGBA{r, g, b, 255}, 4, 3) }

// folders makes ten pictures of known colours, one of them in a wrong folder, one that is broken and one of an unknown class.
func folders(t *testing.T) string {
	dir := t.TempDir()
	for i := range 5 {
		write(t, filepath.Join(dir, "red", fmt.Sprint(i)), picture(250, byte(i), 0))
		write(t, filepath.Join(dir, "n0blue", fmt.Sprint(i)), picture(0, byte(i), 250))
	}
	write(t, filepath.Join(dir, "Red", "yellowish"), picture(255, 255, 0))
	write(t, filepath.Join(dir, "red", "broken"), []byte("no picture"))
	write(t, filepath.Join(dir, "purple", "x"), picture(128, 0, 128))
	write(t, filepath.Join(dir, ".git", "x"), []byte("hidden"))
	write(t, filepath.Join(dir, "readme.txt"), []byte("not in a class"))
	return dir
}

var labels = []ocelli.Label{{Name: "red"}, {Name: "blue", ID: "n0blue"}, {Name: "yellow"}}

// named gives the colours of Echo the ids of the labels above.
type named struct{ classify.Echo }

func (n named) Classify(ctx context.Context, images ...ocelli.Pixels) ([][]ocelli.Label, error) {
	all, err := n.Echo.Classify(ctx, images...)
	for _, one := range all {
		for i := range one {
			if one[i].Name == "blue" {
				one[i].ID = "n0blue"
			}
		}
	}
	return all, err
}

func run(t *testing.T, path string) *eval.Report {
	t.Helper()
	items, err := eval.Items(path)
	if err != nil {
		t.Fatal(err)
	}
	last := 0
	r, err := eval.Run(t.Context(), items, eval.Options{Classifier: named{}, Labels: labels, Decode: decodePNG, Progress: func(done, total int) {
		if done != last+1 || total != len(items) {
			t.Errorf("progress went from %d to %d of %d", last, done, total)
		}
		last = done
	}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestFolders(t *testing.T) {
	dir := folders(t)
	r := run(t, dir)
	if r.N != 11 || r.Failed != 1 || r.Unknown != 1 || r.ImagesPerSecond <= 0 {
		t.Errorf("report %+v", r)
	}
	if want := 10. / 11; math.Abs(r.Top1-want) > 1e-9 || r.Top5 != 1 {
		t.Errorf("top-1 %g, top-5 %g, want %g and 1", r.Top1, r.Top5, want)
	}
	// All scores are near 1, and one in eleven is wrong.
	if r.ECE < 0.05 || r.ECE > 0.13 {
		t.Errorf("calibration error %g", r.ECE)
	}
	if len(r.Calibration) != 1 || r.Calibration[0].N != 11 || math.Abs(r.Calibration[0].Right-10./11) > 1e-9 || r.Calibration[0].Score < 0.9 {
		t.Errorf("calibration %+v", r.Calibration)
	}
	if diff := cmp.Diff([]eval.Class{{Name: "red", N: 6, Top1: 5. / 6}, {Name: "blue", ID: "n0blue", N: 5, Top1: 1}}, r.Classes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]eval.Confusion{{"red", "yellow", 1}}, r.Confusions); diff != "" {
		t.Error(diff)
	}
	if want := []string{filepath.Join(dir, "red", "broken") + " is broken"}; !cmp.Equal(want, r.Failures) {
		t.Errorf("failures %q, want %q", r.Failures, want)
	}
}

func TestFoldersThatAreLinks(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "pictures", "1"), picture(250, 0, 0))
	write(t, filepath.Join(dir, "set", "blue", "2"), picture(0, 0, 250))
	for link, to := range map[string]string{"set/red": "../pictures", "link": "set", "set/gone": "nowhere"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if r := run(t, filepath.Join(dir, "link")); r.N != 2 || r.Top1 != 1 {
		t.Errorf("report %+v", r)
	}
}

func TestWhatIsNoFileIsNotRead(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "red", "1"), picture(250, 0, 0))
	pipe := filepath.Join(dir, "red", "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := run(t, dir); r.N != 1 || r.Failed != 0 {
		t.Errorf("in a folder: %+v", r)
	}
	write(t, filepath.Join(dir, "truth.csv"), []byte(pipe+",red\n"))
	if r := run(t, filepath.Join(dir, "truth.csv")); r.Failed != 1 || r.Failures[0] != pipe+" is not a file" {
		t.Errorf("in a table: %+v", r)
	}
}

func TestNamesThatDifferAfterAComma(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "Colour, red", "1"), picture(250, 0, 0))
	write(t, filepath.Join(dir, "colour,_blue", "2"), picture(0, 0, 250))
	write(t, filepath.Join(dir, "yellow, bright", "3"), picture(250, 250, 0))
	items, err := eval.Items(dir)
	if err != nil {
		t.Fatal(err)
	}
	r, err := eval.Run(t.Context(), items, eval.Options{Classifier: prefixed{}, Decode: decodePNG,
		Labels: []ocelli.Label{{Name: "colour, red"}, {Name: "colour, blue"}, {Name: "yellow"}}})
	if err != nil || r.N != 3 || r.Top1 != 1 || len(r.Classes) != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}

// prefixed calls two colours of Echo by names that differ after a comma.
type prefixed struct{ classify.Echo }

func (p prefixed) Classify(ctx context.Context, images ...ocelli.Pixels) ([][]ocelli.Label, error) {
	all, err := p.Echo.Classify(ctx, images...)
	for _, one := range all {
		for i := range one {
			if one[i].Name == "red" || one[i].Name == "blue" {
				one[i].Name = "colour, " + one[i].Name
			}
		}
	}
	return all, err
}

func TestTables(t *testing.T) {
	dir := folders(t)
	tables := t.TempDir()
	for name, text := range map[string]string{
		"without a head":    filepath.Join(dir, "red", "1") + ",red\n" + filepath.Join(dir, "n0blue", "1") + ",blue\n",
		"with a head":       "mode,wnid,name,file\nRGB,red,whatever,pic.png\nRGB,n0blue,\"blue, azure\",pic2.png\n",
		"of Excel":          "\ufefflabel,file\r\nred,pic.png\r\nblue,pic2.png\r\n",
		"of Excel, quoted":  "\ufeff\"pic.png\",red\npic2.png,blue\n",
		"with folded names": "file,label\npic.png,RED\npic2.png,\"Blue, azure\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(tables, strings.ReplaceAll(name, " ", "-"))
			write(t, filepath.Join(folder, "truth.csv"), []byte(text))
			write(t, filepath.Join(folder, "pic.png"), picture(255, 0, 0))
			write(t, filepath.Join(folder, "pic2.png"), picture(0, 0, 255))
			for _, path := range []string{folder, filepath.Join(folder, "truth.csv")} {
				if r := run(t, path); r.N != 2 || r.Top1 != 1 || r.Failed != 0 || r.Failures == nil {
					t.Errorf("%s: %+v", path, r)
				}
			}
		})
	}
}

func TestItemsRefusesWhatIsNoDataSet(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"one.csv": "a.jpg\n", "quote.csv": "a,\"b\nc"} {
		write(t, filepath.Join(dir, name), []byte(text))
		if _, err := eval.Items(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, path := range []string{filepath.Join(dir, "none"), t.TempDir()} {
		if _, err := eval.Items(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("Items(%s): %v", path, err)
		}
	}
}

// broken is a model that fails.
type broken struct{ classify.Echo }

func (broken) Classify(context.Context, ...ocelli.Pixels) ([][]ocelli.Label, error) {
	return nil, errors.New("out of memory")
}

func TestRunEndsWhereTheModelFails(t *testing.T) {
	items, err := eval.Items(folders(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := eval.Run(t.Context(), items, eval.Options{Classifier: broken{}, Labels: labels, Decode: decodePNG}); err == nil || err.Error() != "out of memory" {
		t.Errorf("Run: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := eval.Run(ctx, items, eval.Options{Classifier: named{}, Labels: labels, Decode: decodePNG}); !errors.Is(err, context.Canceled) {
		t.Errorf("Run with an ended context: %v", err)
	}
}

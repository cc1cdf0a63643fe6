// Package onnx is the driver of classify for ONNX models: ONNX Runtime, loaded as a shared library when the first model is
// opened.
//
// The life of an image here: its pixels are scaled straight into a tensor that is kept for the next call, the session runs
// on the goroutine's own thread, and the scores become labels. Nothing is queued and no thread is shared.
package onnx

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/classify"
	ort "github.com/yalue/onnxruntime_go"
)

// Options say which model is opened and how.
type Options struct {
	Path    string         // the model file; only named in errors where Data is set
	Data    string         // the model itself, where it is no file: its card is believed to be of it
	Card    *classify.Card // nil where there is none
	Library string         // path of ONNX Runtime's shared library
	TopK    int            // labels for each image; classify.DefaultTop where 0
	Log     *slog.Logger
}

// Model is a [classify.Classifier].
type Model struct {
	session  session
	spec     *classify.Spec
	identity ocelli.Model
	topK     int
	run      func(images []ocelli.Pixels, width, height int) ([][]float32, error)
}

// Open loads a model. Whatever is wrong with the file or its card is told in one error.
func Open(o Options) (*Model, error) {
	m, err := open(o)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", o.Path, err)
	}
	for _, s := range m.spec.Assumed {
		o.Log.Info("assumed of the model: "+s, "model", o.Path)
	}
	return m, nil
}

func open(o Options) (*Model, error) {
	info, err := inspect(o)
	if err != nil {
		return nil, err
	}
	if info.Problem != nil {
		return nil, info.Problem
	}
	if err := load(o.Library); err != nil {
		return nil, err
	}
	m := &Model{spec: info.Spec, identity: info.Identity(o), topK: cmp.Or(o.TopK, classify.DefaultTop)}
	if m.session, err = newSession(o, info); err != nil {
		return nil, err
	}
	if m.spec.Uint8 {
		m.run = runner[uint8](m.spec, m.session)
	} else {
		m.run = runner[float32](m.spec, m.session)
	}
	if err := m.try(info.Outputs); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// Info is what can be told of a model without running it.
type Info struct {
	classify.Facts
	Producer  string
	IRVersion int64
	Opset     int64          // of the standard operators
	Size      int64          // bytes
	SHA256    string         // of the file; where it keeps weights in further files, of it and those together
	Spec      *classify.Spec // nil where Problem is set
	Problem   error          // why the model cannot be run with its card
}

// Identity returns what stands in every result of the model that was opened with o. Problem must be nil.
func (i *Info) Identity(o Options) ocelli.Model {
	name := strings.TrimSuffix(filepath.Base(o.Path), ".onnx")
	if o.Card != nil && o.Card.Name != "" {
		name = o.Card.Name
	}
	return ocelli.Model{Name: name, SHA256: i.SHA256, Preprocessing: i.Spec.Preprocessing()}
}

// Inspect reads a model without loading ONNX Runtime. The error tells that the file is no model at all.
func Inspect(o Options) (*Info, error) {
	info, err := inspect(o)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", o.Path, err)
	}
	return info, nil
}

// inspect reads a file once and whole, for what it tells and for its SHA-256. Of Data it reads what it tells, and believes the card's sum.
func inspect(o Options) (*Info, error) {
	var r io.Reader = strings.NewReader(o.Data)
	size := int64(len(o.Data))
	sum := sha256.New()
	known := ""
	if o.Data != "" && o.Card != nil {
		known = o.Card.SHA256
	}
	if o.Data == "" {
		f, err := os.Open(o.Path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		stat, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if !stat.Mode().IsRegular() {
			return nil, errors.New("it is not a file")
		}
		r, size = f, stat.Size()
	}
	if known == "" {
		r = io.TeeReader(r, sum)
	}
	h, err := readHeader(r, size)
	if err != nil {
		return nil, err
	}
	info := &Info{
		Facts:    classify.Facts{Inputs: h.inputs, Outputs: h.outputs},
		Producer: h.producer, IRVersion: h.irVersion, Opset: h.opset, Size: size, SHA256: cmp.Or(known, hex.EncodeToString(sum.Sum(nil))),
	}
	if info.Problem = checkExternal(o, h.external); info.Problem != nil {
		return info, nil
	}
	if c := o.Card; c != nil && c.SHA256 != "" && !strings.EqualFold(c.SHA256, info.SHA256) {
		info.Problem = fmt.Errorf("its card is of another file: the card says SHA-256 %s, the file has %s", c.SHA256, info.SHA256)
		return info, nil
	}
	if len(h.external) > 0 {
		if info.SHA256, err = sumOfAll(info.SHA256, filepath.Dir(o.Path), h.external); err != nil {
			return nil, err
		}
	}
	info.Spec, info.Problem = classify.NewSpec(o.Card, info.Facts)
	return info, nil
}

// sumOfAll is the SHA-256 of a model with weights in further files: of the sum of its own file in hexadecimal digits, followed by these files.
func sumOfAll(own, dir string, names []string) (string, error) {
	sum := sha256.New()
	_, _ = io.WriteString(sum, own) // a hash takes everything
	for _, name := range names {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		_, err = io.Copy(sum, f)
		if err := errors.Join(err, f.Close()); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// checkExternal makes sure that the further files with weights are there.
func checkExternal(o Options, names []string) error {
	for _, name := range names {
		if !filepath.IsLocal(name) {
			return fmt.Errorf("it keeps weights in %q, outside its own folder: refused", name)
		}
		if info, err := os.Stat(filepath.Join(filepath.Dir(o.Path), name)); err != nil || !info.Mode().IsRegular() || o.Data != "" {
			return fmt.Errorf("it keeps weights in a second file, %s, which is not beside it: fetch that too", name)
		}
	}
	return nil
}

// newSession has ONNX Runtime load and optimise the model.
func newSession(o Options, info *Info) (session, error) {
	options, err := sessionOptions(info.Spec.Width > 0)
	if err != nil {
		return nil, err
	}
	defer options.Destroy()
	in, out := []string{info.Spec.Input}, []string{info.Spec.Output}
	var s *ort.DynamicAdvancedSession
	if o.Data != "" {
		data := unsafe.Slice(unsafe.StringData(o.Data), len(o.Data)) // which is only read
		s, err = ort.NewDynamicAdvancedSessionWithONNXData(data, in, out, options)
	} else {
		s, err = ort.NewDynamicAdvancedSession(o.Path, in, out, options)
	}
	if err == nil {
		return s, nil
	}
	err = tidy(err)
	if strings.Contains(err.Error(), "opset") || strings.Contains(err.Error(), "IR version") {
		return nil, fmt.Errorf("it is too new for this ONNX Runtime (%s): export it with an older opset than %d, IR version %d (%w)", ort.GetVersion(), info.Opset, info.IRVersion, err)
	}
	return nil, fmt.Errorf("ONNX Runtime refuses it: %w", err)
}

// try runs a black picture where the file does not tell how many scores it gives, so that a wrong model is met now and not
// with the first image.
func (m *Model) try(outputs []classify.Tensor) error {
	for _, t := range outputs {
		if width, _ := classify.ScoreWidth(t.Shape); t.Name == m.spec.Output && width > 0 {
			return nil
		}
	}
	black := ocelli.Pixels{Width: 64, Height: 64, RGB: make([]byte, 3*64*64)}
	width, height := m.spec.InputSize(black)
	scores, err := m.run([]ocelli.Pixels{black}, width, height)
	if err != nil {
		return err
	}
	return m.spec.CheckWidth(len(scores[0]))
}

// Model returns the identity that stands in every result.
func (m *Model) Model() ocelli.Model { return m.identity }

// Spec returns how the model is run. The caller must not change it.
func (m *Model) Spec() *classify.Spec { return m.spec }

// ShortSide implements [classify.Classifier].
func (m *Model) ShortSide() int { return m.spec.ShortSide() }

// Close frees the session.
func (m *Model) Close() error { return m.session.Destroy() }

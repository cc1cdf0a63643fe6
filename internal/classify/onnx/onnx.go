// Package onnx is the driver of classify for ONNX models: ONNX Runtime, loaded as a shared library when the first model is
// opened.
//
// The life of an image here: its pixels are scaled straight into a tensor that is kept for the next call, the session runs
// on the goroutine's own thread, and the scores become labels. Nothing is queued and no thread is shared.
package onnx

import (
	"bytes"
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

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/classify"
	ort "github.com/yalue/onnxruntime_go"
)

// Options say which model is opened and how.
type Options struct {
	Path    string         // the model file; only named in errors where Data is set
	Data    []byte         // the model itself, where it is no file; not kept
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
	h, sum, err := inspect(o)
	if err != nil {
		return nil, err
	}
	if c := o.Card; c != nil && c.SHA256 != "" && !strings.EqualFold(c.SHA256, sum) {
		return nil, fmt.Errorf("its card is of another file: the card says SHA-256 %s, the file has %s", c.SHA256, sum)
	}
	spec, err := classify.NewSpec(o.Card, classify.Facts{Inputs: h.inputs, Outputs: h.outputs})
	if err != nil {
		return nil, err
	}
	if err := load(o.Library); err != nil {
		return nil, err
	}
	m := &Model{spec: spec, topK: cmp.Or(o.TopK, classify.DefaultTop)}
	m.identity = ocelli.Model{Name: strings.TrimSuffix(filepath.Base(o.Path), ".onnx"), SHA256: sum, Preprocessing: spec.Preprocessing()}
	if o.Card != nil && o.Card.Name != "" {
		m.identity.Name = o.Card.Name
	}
	if m.session, err = newSession(o, spec, h); err != nil {
		return nil, err
	}
	if spec.Uint8 {
		m.run = runner[uint8](spec, m.session)
	} else {
		m.run = runner[float32](spec, m.session)
	}
	if err := m.try(h); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

// inspect reads the whole file once, for what it tells and for its SHA-256 in hexadecimal.
func inspect(o Options) (*header, string, error) {
	var r io.Reader = bytes.NewReader(o.Data)
	size := int64(len(o.Data))
	if o.Data == nil {
		f, err := os.Open(o.Path)
		if err != nil {
			return nil, "", err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return nil, "", err
		}
		if !info.Mode().IsRegular() {
			return nil, "", errors.New("it is not a file")
		}
		r, size = f, info.Size()
	}
	sum := sha256.New()
	h, err := readHeader(io.TeeReader(r, sum), size)
	if err != nil {
		return nil, "", err
	}
	for _, name := range h.external {
		if !filepath.IsLocal(name) {
			return nil, "", fmt.Errorf("it keeps weights in %q, outside its own folder: refused", name)
		}
		if _, err := os.Stat(filepath.Join(filepath.Dir(o.Path), name)); err != nil || o.Data != nil {
			return nil, "", fmt.Errorf("it keeps weights in a second file, %s, which is not beside it: fetch that too", name)
		}
	}
	return h, hex.EncodeToString(sum.Sum(nil)), nil
}

// newSession has ONNX Runtime load and optimise the model.
func newSession(o Options, spec *classify.Spec, h *header) (session, error) {
	options, err := sessionOptions(spec.Width > 0)
	if err != nil {
		return nil, err
	}
	defer options.Destroy()
	in, out := []string{spec.Input}, []string{spec.Output}
	var s *ort.DynamicAdvancedSession
	if o.Data != nil {
		s, err = ort.NewDynamicAdvancedSessionWithONNXData(o.Data, in, out, options)
	} else {
		s, err = ort.NewDynamicAdvancedSession(o.Path, in, out, options)
	}
	if err == nil {
		return s, nil
	}
	err = tidy(err)
	if strings.Contains(err.Error(), "opset") || strings.Contains(err.Error(), "IR version") {
		return nil, fmt.Errorf("it is too new for this ONNX Runtime (%s): export it with an older opset than %d, IR version %d (%w)", ort.GetVersion(), h.opset, h.irVersion, err)
	}
	return nil, fmt.Errorf("ONNX Runtime refuses it: %w", err)
}

// try runs a black picture where the file does not tell how many scores it gives, so that a wrong model is met now and not
// with the first image.
func (m *Model) try(h *header) error {
	for _, t := range h.outputs {
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

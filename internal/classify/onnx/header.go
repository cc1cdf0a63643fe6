package onnx

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/ocelli/ocelli/internal/classify"
)

// header is what a model file tells about itself, read without its weights. The names and numbers of the fields are
// those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto.
type header struct {
	irVersion int64
	producer  string
	opset     int64 // of the standard operators
	inputs    []classify.Tensor
	outputs   []classify.Tensor
	external  []string // names of files that hold weights

	initializers map[string]bool
	made         map[string]node // by the name of the output
}

// node is what is kept of an operation.
type node struct{ op, input string }

// errNotONNX tells that a file holds something else.
var errNotONNX = errors.New("not an ONNX model")

// readHeader reads a model of size bytes to its end.
func readHeader(r io.Reader, size int64) (*header, error) {
	h := &header{initializers: map[string]bool{}, made: map[string]node{}}
	src := newSource(r)
	start, _ := src.Peek(64)
	m := &message{src, size}
	err := m.each(h.model)
	if _, drain := io.Copy(io.Discard, src); drain != nil {
		return nil, drain
	}
	switch {
	case h.irVersion == 0 || errors.Is(err, errMalformed):
		return nil, fmt.Errorf("it is %w: %s", errNotONNX, seems(start))
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return nil, errors.New("the ONNX model is cut short: fetch or copy it again")
	case err != nil:
		return nil, err
	case h.outputs == nil && len(h.made) == 0:
		return nil, errors.New("the ONNX model is cut short, or empty: it holds no network; fetch or copy it again")
	}
	h.finish()
	return h, nil
}

// seems says what a file that is no model looks like.
func seems(start []byte) string {
	text := string(start)
	switch {
	case len(start) == 0:
		return "it is empty"
	case strings.HasPrefix(text, "version https://git-lfs"):
		return "it is a Git LFS pointer; fetch the file that it stands for"
	case strings.HasPrefix(strings.ToLower(strings.TrimSpace(text)), "<"):
		return "it looks like a web page; fetch the model itself"
	case strings.HasPrefix(text, "PK\x03\x04"):
		return "it is a zip archive, perhaps of PyTorch; export the model as ONNX"
	case len(start) > 8 && text[4:8] == "TFL3":
		return "it is a TensorFlow Lite model; convert it to ONNX"
	case text[0] == '\x1f':
		return "it is compressed; unpack it first"
	}
	return fmt.Sprintf("it begins with %.16q", text)
}

// finish leaves the initializers out of the inputs and finds out which outputs are probabilities already.
func (h *header) finish() {
	var inputs []classify.Tensor
	for _, t := range h.inputs {
		if !h.initializers[t.Name] {
			inputs = append(inputs, t)
		}
	}
	h.inputs = inputs
	for i := range h.outputs {
		name := h.outputs[i].Name
		for range len(h.made) {
			n := h.made[name]
			switch n.op {
			case "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Cast", "Clip", "Dropout", "DequantizeLinear", "QuantizeLinear":
				name = n.input
				continue
			case "Softmax":
				h.outputs[i].Activation = classify.ActivationSoftmax
			case "Sigmoid":
				h.outputs[i].Activation = classify.ActivationSigmoid
			}
			break
		}
	}
}

// model reads a field of ModelProto.
func (h *header) model(m *message, field, wire int) (err error) {
	switch {
	case field == 1 && wire == wireVarint:
		var v uint64
		v, err = m.varint()
		h.irVersion = int64(v)
	case field == 2 && wire == wireBytes:
		h.producer, err = m.text()
	case field == 7 && wire == wireBytes:
		err = m.within(h.graph)
	case field == 8 && wire == wireBytes:
		err = h.opsetImport(m)
	default:
		err = m.skip(wire)
	}
	return err
}

// opsetImport reads an OperatorSetIdProto.
func (h *header) opsetImport(m *message) error {
	var domain string
	var version uint64
	err := m.within(func(m *message, field, wire int) (err error) {
		switch {
		case field == 1 && wire == wireBytes:
			domain, err = m.text()
		case field == 2 && wire == wireVarint:
			version, err = m.varint()
		default:
			err = m.skip(wire)
		}
		return err
	})
	if domain == "" || domain == "ai.onnx" {
		h.opset = int64(version)
	}
	return err
}

// graph reads a field of GraphProto.
func (h *header) graph(m *message, field, wire int) error {
	if wire != wireBytes {
		return m.skip(wire)
	}
	switch field {
	case 1:
		return h.node(m)
	case 5:
		return h.initializer(m)
	case 11:
		t, err := readTensor(m)
		h.inputs = append(h.inputs, t)
		return err
	case 12:
		t, err := readTensor(m)
		h.outputs = append(h.outputs, t)
		return err
	}
	return m.skip(wire)
}

// node reads a NodeProto.
func (h *header) node(m *message) error {
	var n node
	var outputs []string
	seen := 0
	err := m.within(func(m *message, field, wire int) error {
		if wire != wireBytes || field > 4 || field == 3 {
			return m.skip(wire)
		}
		text, err := m.text()
		switch {
		case field == 1:
			if seen++; seen == 1 {
				n.input = text
			}
		case field == 2:
			outputs = append(outputs, text)
		case field == 4:
			n.op = text
		}
		return err
	})
	for _, o := range outputs {
		h.made[o] = n
	}
	return err
}

// initializer reads a TensorProto, but for its data.
func (h *header) initializer(m *message) error {
	return m.within(func(m *message, field, wire int) error {
		switch {
		case field == 8 && wire == wireBytes:
			name, err := m.text()
			h.initializers[name] = true
			return err
		case field == 13 && wire == wireBytes:
			return h.externalData(m)
		}
		return m.skip(wire)
	})
}

// externalData reads a StringStringEntryProto of a tensor that lies in another file.
func (h *header) externalData(m *message) error {
	var key, value string
	err := m.within(func(m *message, field, wire int) (err error) {
		switch {
		case field == 1 && wire == wireBytes:
			key, err = m.text()
		case field == 2 && wire == wireBytes:
			value, err = m.text()
		default:
			err = m.skip(wire)
		}
		return err
	})
	if key == "location" && (len(h.external) == 0 || h.external[len(h.external)-1] != value) {
		h.external = append(h.external, value)
	}
	return err
}

// elementTypes are the names of the values of TensorProto.DataType.
var elementTypes = map[uint64]string{
	1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64",
	8: "string", 9: "bool", 10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}

// readTensor reads a ValueInfoProto: name and, in a TypeProto, a TypeProto.Tensor.
func readTensor(m *message) (classify.Tensor, error) {
	t := classify.Tensor{Type: "no tensor"}
	err := m.within(func(m *message, field, wire int) (err error) {
		switch {
		case field == 1 && wire == wireBytes:
			t.Name, err = m.text()
		case field == 2 && wire == wireBytes:
			err = m.within(func(m *message, field, wire int) error {
				if field == 1 && wire == wireBytes {
					return readTensorType(m, &t)
				}
				return m.skip(wire)
			})
		default:
			err = m.skip(wire)
		}
		return err
	})
	return t, err
}

// readTensorType reads a TypeProto.Tensor into t.
func readTensorType(m *message, t *classify.Tensor) error {
	return m.within(func(m *message, field, wire int) error {
		switch {
		case field == 1 && wire == wireVarint:
			v, err := m.varint()
			if t.Type = elementTypes[v]; t.Type == "" {
				t.Type = fmt.Sprintf("of the type %d", v)
			}
			return err
		case field == 2 && wire == wireBytes:
			t.Shape = []int64{}
			return m.within(func(m *message, field, wire int) error {
				if field != 1 || wire != wireBytes {
					return m.skip(wire)
				}
				d, err := readDimension(m)
				t.Shape = append(t.Shape, d)
				return err
			})
		}
		return m.skip(wire)
	})
}

// readDimension reads a TensorShapeProto.Dimension: −1 where it is open.
func readDimension(m *message) (int64, error) {
	size := int64(-1)
	err := m.within(func(m *message, field, wire int) error {
		if field != 1 || wire != wireVarint {
			return m.skip(wire)
		}
		v, err := m.varint()
		if v > 0 {
			size = int64(v)
		}
		return err
	})
	return size, err
}

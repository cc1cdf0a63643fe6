package onnx_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// The test models are written here, field by field, as https://github.com/onnx/onnx/blob/main/onnx/onnx.proto has
// them: the mean of each colour times a matrix, which is enough to tell colours apart.

func varint(field int, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3), v)
}

func text(field int, s string) []byte { return part(field, []byte(s)) }

func part(field int, content ...[]byte) []byte {
	all := slices.Concat(content...)
	head := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(field)<<3|2), uint64(len(all)))
	return append(head, all...)
}

// value makes a ValueInfoProto; a dimension of 0 is open.
func value(field int, name string, elementType uint64, dims ...int) []byte {
	var shape []byte
	for _, d := range dims {
		if d == 0 {
			shape = append(shape, part(1, text(2, "any"))...)
		} else {
			shape = append(shape, part(1, varint(1, uint64(d)))...)
		}
	}
	return part(field, text(1, name), part(2, part(1, varint(1, elementType), part(2, shape))))
}

func operation(op string, output string, inputs ...string) []byte {
	var ins []byte
	for _, in := range inputs {
		ins = append(ins, text(1, in)...)
	}
	return part(1, ins, text(2, output), text(4, op))
}

func floats(name string, dims []int, values []float32) []byte {
	var d, raw []byte
	for _, n := range dims {
		d = append(d, varint(1, uint64(n))...)
	}
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return part(5, d, varint(2, 1), text(8, name), part(9, raw))
}

// integer makes a TensorProto with one int64.
func integer(name string, v int) []byte {
	return part(5, varint(1, 1), varint(2, 7), varint(7, uint64(v)), text(8, name))
}

// network says which test model is made.
type network struct {
	input    []int // dimensions; 0 is open
	element  uint64
	ending   []string // operations on the logits
	empty    bool     // the output has a third dimension, which turns out to be 0
	classes  int      // the first of the matrix; all where 0
	extra    bool     // a second output
	location string   // of the weights, where they lie outside
	opset    uint64
	hidden   bool // the output's shape is not told
}

const classes = 4

// matrix gives each class its colour: red, green, blue, grey.
var matrix = []float32{
	9, -3, -3, 1,
	-3, 9, -3, 1,
	-3, -3, 9, 1,
}

func (n network) bytes() []byte {
	if n.element == 0 {
		n.element = 1
	}
	if n.classes == 0 {
		n.classes = classes
	}
	if n.opset == 0 {
		n.opset = 13
	}
	source := "pixels"
	var nodes []byte
	if n.element != 1 {
		nodes = append(nodes, part(1, text(1, source), text(2, "float"), text(4, "Cast"), part(5, text(1, "to"), varint(3, 1), varint(20, 2)))...)
		source = "float"
	}
	if n.input[1] != 3 {
		nodes = append(nodes, part(1, text(1, source), text(2, "planes"), text(4, "Transpose"),
			part(5, text(1, "perm"), varint(8, 0), varint(8, 3), varint(8, 1), varint(8, 2), varint(20, 7)))...)
		source = "planes"
	}
	nodes = slices.Concat(nodes, operation("GlobalAveragePool", "mean", source), operation("Flatten", "flat", "mean"))
	last := "flat"
	for i, op := range append([]string{"MatMul"}, n.ending...) {
		out := "scores"
		if i < len(n.ending) {
			out = fmt.Sprint("scores before ", n.ending[i:])
		}
		switch op {
		case "MatMul":
			nodes = append(nodes, operation(op, out, last, "weights")...)
		case "Cast":
			nodes = append(nodes, part(1, text(1, last), text(2, out), text(4, op), part(5, text(1, "to"), varint(3, 1), varint(20, 2)))...)
		default:
			nodes = append(nodes, operation(op, out, last)...)
		}
		last = out
	}
	if n.empty {
		nodes = slices.Concat(nodes, operation("Unsqueeze", "deep", last, "two"), operation("Slice", "none", "deep", "zero", "zero", "two"))
	}
	var columns []float32
	for i, v := range matrix {
		if i%classes < n.classes {
			columns = append(columns, v)
		}
	}
	weights := floats("weights", []int{3, n.classes}, columns)
	if n.location != "" {
		weights = part(5, varint(1, 3), varint(1, uint64(n.classes)), varint(2, 1), text(8, "weights"),
			part(13, text(1, "location"), text(2, n.location)), varint(14, 1))
	}
	output := value(12, "scores", 1, n.input[0], n.classes)
	if n.hidden {
		output = part(12, text(1, "scores"), part(2, part(1, varint(1, 1))))
	}
	if n.empty {
		output = value(12, "none", 1, n.input[0], n.classes, 0)
		weights = slices.Concat(weights, integer("zero", 0), integer("two", 2))
	}
	if n.extra {
		output = append(output, value(12, "mean", 1, n.input[0], 3, 1, 1)...)
	}
	graph := part(7, nodes, text(2, "colours"), weights, value(11, "pixels", n.element, n.input...), output)
	return slices.Concat(varint(1, 8), text(2, "ocelli tests"), graph, part(8, text(1, ""), varint(2, n.opset)))
}

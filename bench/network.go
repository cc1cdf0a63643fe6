package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/encoding/protowire"
)

// Networks of random weights, since speed does not depend on them: the layers of MobileNetV2 (Sandler et al., CVPR 2018, table 2) and of
// ResNet-18 (He et al., CVPR 2016, table 1) with batch normalisation folded into the convolutions, as ONNX files for pictures of 224 × 224.

// network is a graph while it grows: each layer takes the output of the one before it.
type network struct {
	random *rand.Rand
	graph  []byte // the nodes and weights of an ONNX GraphProto
	names  int
	last   string // the output that the next layer takes
	width  int    // its channels

	int8 bool    // weights and what passes between layers are whole numbers of 8 bits
	step float64 // of the last output, where they are
}

func newNetwork() *network {
	return &network{random: rand.New(rand.NewPCG(1, 2)), last: "image", width: 3}
}

// types of tensors, by ONNX's TensorProto.DataType.
const (
	typeFloat32 = 1
	typeUint8   = 2
	typeInt8    = 3
	typeInt32   = 6
)

// field appends a field that has bytes.
func field(b []byte, n protowire.Number, value []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, n, protowire.BytesType), value)
}

func number(b []byte, n protowire.Number, value uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, n, protowire.VarintType), value)
}

// tensor adds a tensor of the given type and shape, whose values are those of raw, and returns its name.
func (n *network) tensor(kind uint64, raw []byte, shape ...int) string {
	n.names++
	name := fmt.Sprint("w", n.names)
	var tensor []byte
	for _, d := range shape {
		tensor = number(tensor, 1, uint64(d))
	}
	tensor = number(tensor, 2, kind)
	tensor = field(tensor, 8, []byte(name))
	tensor = field(tensor, 9, raw)
	n.graph = field(n.graph, 5, tensor)
	return name
}

// scalar adds one number and returns its name.
func (n *network) scalar(v float64) string {
	return n.tensor(typeFloat32, binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(v))))
}

// layer adds a node with random weights of the given shape and spread, and a bias for each of its outputs.
func (n *network) layer(op string, attrs attributes, spread float64, shape ...int) {
	const biasSpread = 0.01
	if !n.int8 {
		n.node(op, attrs, n.last, n.random32(spread, shape...), n.random32(biasSpread, shape[0]))
		return
	}
	step := 4 * spread / math.MaxInt8 // four times the spread is the most that 8 bits tell
	weights := n.tensor(typeInt8, n.randoms(shape, func(raw []byte, v float64) []byte {
		return append(raw, byte(int8(max(-math.MaxInt8, min(spread*v/step, math.MaxInt8)))))
	}), shape...)
	biasStep := n.step * step // that of a product, as the specification of QLinearConv has it
	bias := n.tensor(typeInt32, n.randoms(shape[:1], func(raw []byte, v float64) []byte {
		return binary.LittleEndian.AppendUint32(raw, uint32(int32(biasSpread*v/biasStep)))
	}), shape[0])
	n.node(op, attrs, n.last,
		n.add("DequantizeLinear", nil, weights, n.scalar(step), n.tensor(typeInt8, []byte{0})),
		n.add("DequantizeLinear", nil, bias, n.scalar(biasStep), n.tensor(typeInt32, make([]byte, 4))))
}

// random32 adds a tensor of random numbers with the given spread.
func (n *network) random32(spread float64, shape ...int) string {
	return n.tensor(typeFloat32, n.randoms(shape, func(raw []byte, v float64) []byte {
		return binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(spread*v)))
	}), shape...)
}

// randoms are as many random numbers, of spread 1, as a shape has, in the bytes that put makes of them.
func (n *network) randoms(shape []int, put func([]byte, float64) []byte) (raw []byte) {
	size := 1
	for _, d := range shape {
		size *= d
	}
	for range size {
		raw = put(raw, n.random.NormFloat64())
	}
	return raw
}

// rounded makes the last output one of 8 bits between two bounds, where the network is one of 8 bits.
func (n *network) rounded(least, most float64) {
	if !n.int8 {
		return
	}
	n.step = (most - least) / math.MaxUint8
	step, zero := n.scalar(n.step), n.tensor(typeUint8, []byte{byte(math.Round(-least / n.step))})
	n.node("QuantizeLinear", nil, n.last, step, zero)
	n.node("DequantizeLinear", nil, n.last, step, zero)
}

// attributes are whole numbers, or lists of them, of a node.
type attributes map[string][]int

// node adds a node, whose output becomes the last.
func (n *network) node(op string, attrs attributes, inputs ...string) {
	n.last = n.add(op, attrs, inputs...)
}

// add adds a node and returns the name of its output.
func (n *network) add(op string, attrs attributes, inputs ...string) string {
	var node []byte
	for _, in := range inputs {
		node = field(node, 1, []byte(in))
	}
	n.names++
	out := fmt.Sprint("x", n.names)
	node = field(node, 2, []byte(out))
	node = field(node, 4, []byte(op))
	for name, values := range attrs {
		attr := field(nil, 1, []byte(name))
		if len(values) == 1 {
			attr = number(number(attr, 3, uint64(values[0])), 20, 2)
		} else {
			for _, v := range values {
				attr = number(attr, 8, uint64(v))
			}
			attr = number(attr, 20, 7)
		}
		node = field(node, 5, attr)
	}
	n.graph = field(n.graph, 1, node)
	return out
}

// conv adds a convolution with a bias.
func (n *network) conv(channels, kernel, stride, groups int) {
	pad := kernel / 2
	n.layer("Conv", attributes{
		"kernel_shape": {kernel, kernel}, "strides": {stride, stride}, "pads": {pad, pad, pad, pad}, "group": {groups},
	}, math.Sqrt(2/float64(n.width/groups*kernel*kernel)), channels, n.width/groups, kernel, kernel)
	n.width = channels
}

func (n *network) relu() { n.node("Relu", nil, n.last) }

func (n *network) relu6() {
	n.node("Clip", nil, n.last, n.scalar(0), n.scalar(6))
	n.rounded(0, 6)
}

// classes ends the network with the scores of so many classes.
func (n *network) classes(count int) {
	n.node("GlobalAveragePool", nil, n.last)
	n.rounded(0, 6)
	n.node("Flatten", attributes{"axis": {1}}, n.last)
	n.rounded(0, 6)
	n.layer("Gemm", attributes{"transB": {1}}, math.Sqrt(1/float64(n.width)), count, n.width)
	n.width = count
}

// mobileNetV2 is that network in float32, or in whole numbers of 8 bits where they are asked for: those of weights have a sign.
func mobileNetV2(int8 bool) *network {
	n := newNetwork()
	n.int8 = int8
	n.rounded(-2.2, 2.7) // what the preprocessing of the card makes of bytes
	n.conv(32, 3, 2, 1)
	n.relu6()
	for _, b := range [][4]int{{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1}} {
		expand, channels, repeats, stride := b[0], b[1], b[2], b[3]
		for i := range repeats {
			in, width := n.last, n.width
			if expand > 1 {
				n.conv(width*expand, 1, 1, 1)
				n.relu6()
			}
			if i > 0 {
				stride = 1
			}
			n.conv(n.width, 3, stride, n.width)
			n.relu6()
			n.conv(channels, 1, 1, 1)
			n.rounded(-8, 8)
			if stride == 1 && width == channels {
				n.node("Add", nil, in, n.last)
				n.rounded(-8, 8)
			}
		}
	}
	n.conv(1280, 1, 1, 1)
	n.relu6()
	n.classes(1000)
	return n
}

func resNet18() *network {
	n := newNetwork()
	n.conv(64, 7, 2, 1)
	n.relu()
	n.node("MaxPool", attributes{"kernel_shape": {3, 3}, "strides": {2, 2}, "pads": {1, 1, 1, 1}}, n.last)
	for stage, channels := range []int{64, 128, 256, 512} {
		for block := range 2 {
			stride := 1
			if stage > 0 && block == 0 {
				stride = 2
			}
			in, width := n.last, n.width
			n.conv(channels, 3, stride, 1)
			n.relu()
			n.conv(channels, 3, 1, 1)
			out := n.last
			if stride > 1 {
				n.last, n.width = in, width
				n.conv(channels, 1, stride, 1)
				in = n.last
			}
			n.node("Add", nil, in, out)
			n.relu()
		}
	}
	n.classes(1000)
	return n
}

// shaped describes an input or output of float32: -1 is any number of images.
func shaped(name string, shape ...int) []byte {
	var dims []byte
	for _, d := range shape {
		dim := number(nil, 1, uint64(d))
		if d < 0 {
			dim = field(nil, 2, []byte("images"))
		}
		dims = field(dims, 1, dim)
	}
	tensor := field(number(nil, 1, 1), 2, dims)
	return field(field(nil, 1, []byte(name)), 2, field(nil, 1, tensor))
}

// save writes the network and its card into dir and returns the path of the model.
func (n *network) save(dir, name string) (string, error) {
	graph := field(n.graph, 2, []byte(name))
	graph = field(graph, 11, shaped("image", -1, 3, 224, 224))
	graph = field(graph, 12, shaped(n.last, -1, n.width))
	model := number(nil, 1, 8) // the version of the format that came with operator set 13
	model = field(model, 7, graph)
	model = field(model, 8, number(nil, 2, 13))
	path := filepath.Join(dir, name+".onnx")
	if err := os.WriteFile(path, model, 0o600); err != nil {
		return "", err
	}
	labels := make([]string, n.width)
	for i := range labels {
		labels[i] = fmt.Sprint("class ", i)
	}
	card, err := json.Marshal(map[string]any{
		"preprocess": map[string]any{"preset": "imagenet", "resize": 256, "crop": 224},
		"output":     map[string]string{"activation": "none"},
		"labels":     labels,
	})
	if err != nil {
		return "", err
	}
	return path, os.WriteFile(filepath.Join(dir, name+".json"), card, 0o600)
}

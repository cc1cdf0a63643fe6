package oip

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/intake"
)

const (
	inputName     = "image"
	datatypeBytes = "BYTES"
	datatypeFloat = "FP32"
	datatypeInt   = "INT64"

	mostHeader = 1 << 20  // bytes of JSON before binary tensors
	mostJSON   = 32 << 20 // bytes of a request whose images stand in JSON
	mostLabels = 1000

	headerLength = "Inference-Header-Content-Length"
)

// request is $inference_request.
type request struct {
	ID         string              `json:"id,omitempty"`        // comes back in the answer
	Parameters parameters          `json:"parameters,omitzero"` // top_k, and binary_data_output
	Inputs     intake.List[input]  `json:"inputs"`              // one, "image"
	Outputs    intake.List[wanted] `json:"outputs,omitempty"`   // all where there are none
}

// parameters are those of a request, an input and an output together; what is not known is passed over, as the specification asks.
type parameters struct {
	TopK           *int   `json:"top_k,omitempty"`              // of a request: labels of each image, at most
	BinaryOutput   bool   `json:"binary_data_output,omitempty"` // of a request: outputs as binary tensor data
	BinarySize     *int64 `json:"binary_data_size,omitempty"`   // of an input: bytes of binary tensor data after the JSON
	Binary         *bool  `json:"binary_data,omitempty"`        // of an output: as binary tensor data
	Classification int    `json:"classification,omitempty"`     // of the output score: so many labels as "VALUE:INDEX:LABEL"
}

// input is $request_input.
type input struct {
	Name       string             `json:"name"`
	Shape      intake.List[int64] `json:"shape"` // the number of images: [2]
	Datatype   string             `json:"datatype"`
	Parameters parameters         `json:"parameters,omitzero"`
	Data       json.RawMessage    `json:"data,omitempty"` // the images in base64
}

// wanted is $request_output.
type wanted struct {
	Name       string     `json:"name"`
	Parameters parameters `json:"parameters,omitzero"`
}

func bad(format string, args ...any) error { return ocelli.Errorf(ocelli.BadRequest, format, args...) }

// parse reads the JSON of a request and checks all but the images.
func parse(body []byte) (*request, error) {
	var req request
	if err := json.Unmarshal(body, &req); err != nil {
		return nil, bad("the request is no inference request: %v", err)
	}
	if len(req.Inputs) != 1 || req.Inputs[0].Name != inputName {
		return nil, bad("the model has one input, %q: give that and no other", inputName)
	}
	if d := req.Inputs[0].Datatype; d != datatypeBytes {
		return nil, bad("the input %q has the datatype %s, and not %.20q", inputName, datatypeBytes, d)
	}
	if k := req.Parameters.TopK; k != nil && (*k < 1 || *k > mostLabels) {
		return nil, bad("top_k is %d: give 1 to %d", *k, mostLabels)
	}
	for i, w := range req.Outputs {
		known := slices.ContainsFunc(outputs, func(o output) bool { return o.name == w.Name })
		again := slices.ContainsFunc(req.Outputs[:i], func(o wanted) bool { return o.Name == w.Name })
		if !known || again {
			return nil, bad("outputs has %.40q, which the model does not have or which was named before: it has label, score, index, id and error", w.Name)
		}
		if n := w.Parameters.Classification; n < 0 || n > mostLabels || n > 0 && w.Name != "score" {
			return nil, bad("classification is %d for %q: it goes with the output score, 1 to %d", n, w.Name, mostLabels)
		}
	}
	return &req, nil
}

// count returns the number of images that the shape of the input stands for.
func (in *input) count() (int64, error) {
	n := int64(1)
	for _, side := range in.Shape {
		if side < 1 || side > math.MaxInt32 || n*side > math.MaxInt32 {
			return 0, bad("the shape of the input %q is not possible: give the number of images, for one [1]", inputName)
		}
		n *= side
	}
	return n, nil
}

// read returns a request and its images, which may only come in while they are ranged over. The caller calls release, which is never nil,
// after that.
func (s *Service) read(w http.ResponseWriter, r *http.Request) (req *request, images iter.Seq2[intake.Upload, error], release func(), err error) {
	nothing := func() {}
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return nil, nil, nothing, ocelli.Errorf(ocelli.UnsupportedType, "the request is compressed (%.20s), which is not read here: send it as it is", e)
	}
	length := r.Header.Get(headerLength)
	if length == "" {
		body, release, err := s.Memory.Read(r, mostJSON)
		if err == nil {
			req, err = parse(body)
		}
		if err == nil && req.Inputs[0].Parameters.BinarySize != nil {
			err = bad("binary_data_size goes with the header %s, which is missing", headerLength)
		}
		if err == nil {
			images, err = req.Inputs[0].fromJSON(s.Intake.Limits.JobImages)
		}
		return req, images, release, err
	}
	n, err := strconv.ParseInt(length, 10, 64)
	if err != nil || n < 2 || n > mostHeader {
		return nil, nil, nothing, bad("%s is %.20q: give the bytes of the JSON, at most %d", headerLength, length, mostHeader)
	}
	body := bufio.NewReader(http.MaxBytesReader(w, r.Body, s.RequestBytes))
	head := make([]byte, n)
	if _, err := io.ReadFull(body, head); err != nil {
		return nil, nil, nothing, broken(err)
	}
	if req, err = parse(head); err != nil {
		return nil, nil, nothing, err
	}
	if req.Inputs[0].Parameters.BinarySize == nil {
		images, err = req.Inputs[0].fromJSON(s.Intake.Limits.JobImages)
		return req, images, nothing, err
	}
	images, err = req.Inputs[0].fromBinary(body)
	return req, images, nothing, err
}

// fromJSON returns the images that stand in the data of the input, at most most: strings in base64, nested as the shape is or in one list.
func (in *input) fromJSON(most int) (iter.Seq2[intake.Upload, error], error) {
	n, err := in.count()
	if err != nil {
		return nil, err
	}
	if n > int64(most) {
		return nil, ocelli.Errorf(ocelli.TooManyImages, "the request holds more than %d images: send the rest in another one", most)
	}
	if len(in.Data) == 0 {
		return nil, bad("the input %q has no data: give the images in base64, or as binary tensor data", inputName)
	}
	texts, ok := flatten(in.Data, int(n))
	if !ok {
		return nil, bad("the data of the input %q are not the %d strings that its shape %v asks for", inputName, n, in.Shape)
	}
	return func(yield func(intake.Upload, error) bool) {
		for i, text := range texts {
			image, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				yield(intake.Upload{}, bad("image %d of the input is not base64: JSON cannot hold the bytes of an image as they are", i+1))
				return
			}
			if !yield(intake.Upload{Name: nameOf(i), Body: strings.NewReader(string(image))}, nil) {
				return
			}
		}
	}, nil
}

func nameOf(i int) string { return "image " + strconv.Itoa(i+1) }

// flatten returns the strings of a tree of lists, where there are just n and nothing else.
func flatten(tree []byte, n int) (list []string, ok bool) {
	in := json.NewDecoder(bytes.NewReader(tree))
	for {
		token, err := in.Token()
		if err == io.EOF {
			return list, len(list) == n
		}
		if err != nil {
			return nil, false
		}
		switch t := token.(type) {
		case string:
			if len(list) == n {
				return nil, false
			}
			list = append(list, t)
		case json.Delim:
			if t != '[' && t != ']' {
				return nil, false
			}
		default:
			return nil, false
		}
	}
}

// fromBinary returns the images of a binary tensor as they come: each is four bytes of its length, little-endian, and its bytes.
func (in *input) fromBinary(body io.Reader) (iter.Seq2[intake.Upload, error], error) {
	n, err := in.count()
	if err != nil {
		return nil, err
	}
	left := *in.Parameters.BinarySize
	return func(yield func(intake.Upload, error) bool) {
		for i := range n {
			var head [4]byte
			if _, err := io.ReadFull(body, head[:]); err != nil {
				yield(intake.Upload{}, broken(err))
				return
			}
			size := int64(binary.LittleEndian.Uint32(head[:]))
			if left -= 4 + size; left < 0 {
				yield(intake.Upload{}, bad("image %d goes beyond the binary_data_size of the input", i+1))
				return
			}
			image := &whole{r: body, left: size}
			if !yield(intake.Upload{Name: nameOf(int(i)), Body: image}, nil) {
				return
			}
			if _, err := io.Copy(io.Discard, image); err != nil { // what nobody wanted to see of it
				yield(intake.Upload{}, broken(err))
				return
			}
		}
		if left != 0 {
			yield(intake.Upload{}, bad("the input has %d bytes more than its %d images: check binary_data_size", left, n))
			return
		}
		if n, err := io.CopyN(io.Discard, body, 1); n > 0 || err != io.EOF {
			yield(intake.Upload{}, bad("the request has more bytes than its tensors: check binary_data_size"))
		}
	}, nil
}

// broken says what is wrong with a request that ends before its tensors do.
func broken(err error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return ocelli.Errorf(ocelli.TooLarge, "the request is larger than %d MB, the limit: send fewer images", tooLarge.Limit>>20)
	}
	return bad("the request ends before its tensors do (%v): check %s, shape and binary_data_size", err, headerLength)
}

// whole reads so many bytes, and fails where there are fewer.
type whole struct {
	r    io.Reader
	left int64
}

func (w *whole) Read(p []byte) (int, error) {
	if w.left == 0 {
		return 0, io.EOF
	}
	n, err := w.r.Read(p[:min(int64(len(p)), w.left)])
	if w.left -= int64(n); err == io.EOF && w.left > 0 {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

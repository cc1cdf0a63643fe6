package oip

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/intake"
)

// answerTime is how long the images of a request may take.
const answerTime = 2 * time.Minute

// output is one that the model has. Of each image it has one value, or as many as there are labels.
type output struct {
	name, datatype string
	shape          []int
	labels         func(l ocelli.Label) any // string, float32 or int64; nil for the error of an image
}

// outputs are in the order in which they are answered. The error of an image is "" where it has labels.
var outputs = []output{
	{"label", datatypeBytes, []int{-1, -1}, func(l ocelli.Label) any { return l.Name }},
	{"score", datatypeFloat, []int{-1, -1}, func(l ocelli.Label) any { return float32(l.Score) }},
	{"index", datatypeInt, []int{-1, -1}, func(l ocelli.Label) any { return int64(l.Index) }},
	{"id", datatypeBytes, []int{-1, -1}, func(l ocelli.Label) any { return l.ID }},
	{errorOutput, datatypeBytes, []int{-1}, nil},
}

const errorOutput = "error"

// response is $inference_response.
type response struct {
	ModelName    string   `json:"model_name"`
	ModelVersion string   `json:"model_version,omitempty"`
	ID           string   `json:"id,omitempty"`
	Outputs      []tensor `json:"outputs"`
}

// tensor is $response_output.
type tensor struct {
	Name       string         `json:"name"`
	Datatype   string         `json:"datatype"`
	Shape      []int          `json:"shape"`
	Parameters map[string]int `json:"parameters,omitempty"`
	Data       []any          `json:"data,omitzero"`

	binary []byte // in place of Data
}

// infer recognises a batch of images. A request fails where one of its images does, unless it asks for the output "error": then such an
// image has that, and no labels ("", 0 and -1).
func (s *Service) infer(w http.ResponseWriter, r *http.Request) error {
	name, version, err := s.find(r)
	if err != nil {
		return err
	}
	req, images, release, err := s.read(w, r)
	defer release()
	if err != nil {
		return err
	}
	stored := func() {
		req.Inputs[0].Data = nil
		release()
	}
	results, err := s.Intake.Recognise(r.Context(), intake.NewJob(), intake.Releasing(images, stored), answerTime)
	if err != nil {
		return err
	}
	if !req.tolerates() {
		for _, res := range results {
			if res.Error != nil {
				return res.Error
			}
		}
	}
	if m := results[0].Model; m != nil {
		version = versionOf(m)
	}
	write(w, &response{ModelName: name, ModelVersion: version, ID: req.ID, Outputs: req.tensors(results)})
	return nil
}

// tolerates reports whether the client has asked for errors of single images.
func (r *request) tolerates() bool {
	return slices.ContainsFunc(r.Outputs, func(w wanted) bool { return w.Name == errorOutput })
}

// tensors returns the outputs that were asked for, all where none was.
func (r *request) tensors(results []ocelli.Result) []tensor {
	list := r.Outputs
	if len(list) == 0 {
		for _, o := range outputs {
			list = append(list, wanted{Name: o.name})
		}
	}
	most := classify.DefaultTop
	if r.Parameters.TopK != nil {
		most = *r.Parameters.TopK
	}
	all := make([]tensor, len(list))
	for i, w := range list {
		o, most := outputs[slices.IndexFunc(outputs, func(o output) bool { return o.name == w.Name })], most
		if n := w.Parameters.Classification; n > 0 {
			o, most = classification, n
		}
		all[i] = o.tensor(results, widthOf(results, most))
		if asked := w.Parameters.Binary; asked != nil && *asked || asked == nil && r.Parameters.BinaryOutput {
			all[i].pack()
		}
	}
	return all
}

// classification is the output "score" as Triton's classification extension writes it: "VALUE:INDEX:LABEL".
var classification = output{"score", datatypeBytes, []int{-1, -1}, func(l ocelli.Label) any {
	return fmt.Sprintf("%s:%d:%s", strconv.FormatFloat(l.Score, 'f', 6, 64), l.Index, l.Name)
}}

// widthOf is how many labels each image is answered with: at most most. All have the same number but those that failed.
func widthOf(results []ocelli.Result, most int) int {
	width := 0
	for _, res := range results {
		width = max(width, len(res.Labels))
	}
	return min(width, most)
}

func (o output) tensor(results []ocelli.Result, width int) tensor {
	t := tensor{Name: o.name, Datatype: o.datatype, Shape: []int{len(results), width}, Data: []any{}}
	if o.labels == nil {
		t.Shape = t.Shape[:1]
	}
	for _, res := range results {
		if o.labels == nil {
			text := ""
			if res.Error != nil {
				text = res.Error.Message
			}
			t.Data = append(t.Data, text)
			continue
		}
		for i := range width {
			label := ocelli.Label{Index: -1}
			if i < len(res.Labels) {
				label = res.Labels[i]
			}
			t.Data = append(t.Data, o.labels(label))
		}
	}
	return t
}

// pack turns the data of a tensor into binary tensor data.
func (t *tensor) pack() {
	var b []byte
	for _, v := range t.Data {
		switch v := v.(type) {
		case string:
			b = append(binary.LittleEndian.AppendUint32(b, uint32(len(v))), v...)
		case float32:
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		case int64:
			b = binary.LittleEndian.AppendUint64(b, uint64(v))
		}
	}
	t.binary, t.Data, t.Parameters = b, nil, map[string]int{"binary_data_size": len(b)}
}

// write answers with the JSON and, where a tensor is binary, the bytes of those after it.
func write(w http.ResponseWriter, resp *response) {
	var tail []byte
	isBinary := false
	for _, t := range resp.Outputs {
		tail = append(tail, t.binary...)
		isBinary = isBinary || t.Parameters != nil
	}
	if !isBinary {
		answer(w, http.StatusOK, resp)
		return
	}
	var body bytes.Buffer
	if err := json.NewEncoder(&body).Encode(resp); err != nil {
		panic(err) // our own types always marshal
	}
	h := w.Header()
	h.Set(headerLength, strconv.Itoa(body.Len()))
	h.Set("Content-Length", strconv.Itoa(body.Len()+len(tail)))
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	body.Write(tail)
	_, _ = w.Write(body.Bytes()) // the only error is that the client has gone
}

package oip_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image/color"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/oip"
	"github.com/ocelli/ocelli/internal/openapi"
	"github.com/ocelli/ocelli/internal/openapi/openapitest"
	"github.com/ocelli/ocelli/internal/work/worktest"
)

var (
	red  = worktest.Picture(color.RGBA{R: 255, A: 255}, 12, 8)
	blue = worktest.Picture(color.RGBA{B: 255, A: 255}, 8, 12)
)

const version = "000000000000" // of classify.Echo

func serve(t testing.TB, change func(*oip.Service)) string {
	t.Helper()
	c := &oip.Service{
		Intake: worktest.Start(t, 1).Intake, Memory: intake.NewMemory(64 << 20), RequestBytes: 1 << 20, Log: slog.New(slog.DiscardHandler),
		Model: func() *ocelli.Model { m := classify.Echo{}.Model(); return &m },
		Ready: func(context.Context) error { return nil },
	}
	if change != nil {
		change(c)
	}
	mux := http.NewServeMux()
	openapi.Mount(mux, c.Routes(), func(w http.ResponseWriter, _ *http.Request, _ []string) { w.WriteHeader(http.StatusMethodNotAllowed) })
	mux.HandleFunc("/v2/", c.Missing)
	doc := openapi.New(openapi.Config{Problem: "", ProblemType: "application/problem+json"}, []openapi.Part{{Routes: c.Routes(), Source: oip.Source}})
	server := httptest.NewServer(openapitest.Handler(t, doc, mux))
	t.Cleanup(server.Close)
	return server.URL
}

// call makes a request and returns the answer, and its body.
func call(t testing.TB, method, url string, body []byte, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, text
}

// The answers of the protocol's specification, field for field.
func TestMetadataAndHealth(t *testing.T) {
	url := serve(t, nil)
	server := fmt.Sprintf(`{"name":"ocelli","version":%q,"extensions":["binary_tensor_data","classification"]}`, ocelli.Version())
	model := func(name string) string {
		return `{"name":"` + name + `","versions":["` + version + `"],"platform":"onnxruntime_onnx","inputs":[{"name":"image","datatype":"BYTES","shape":[-1]}],` +
			`"outputs":[{"name":"label","datatype":"BYTES","shape":[-1,-1]},{"name":"score","datatype":"FP32","shape":[-1,-1]},` +
			`{"name":"index","datatype":"INT64","shape":[-1,-1]},{"name":"id","datatype":"BYTES","shape":[-1,-1]},{"name":"error","datatype":"BYTES","shape":[-1]}]}`
	}
	index := `[{"name":"echo","version":"` + version + `","state":"READY","reason":""}]`
	for _, c := range []struct {
		method, path string
		status       int
		body         string
	}{
		{"GET", "/v2", 200, server},
		{"GET", "/v2/health/live", 200, `{"live":true}`},
		{"GET", "/v2/health/ready", 200, `{"live":true,"ready":true}`},
		{"GET", "/v2/models/echo", 200, model("echo")},
		{"GET", "/v2/models/default", 200, model("default")},
		{"GET", "/v2/models/echo/versions/" + version, 200, model("echo")},
		{"GET", "/v2/models/echo/ready", 200, `{"name":"echo","ready":true}`},
		{"GET", "/v2/models/echo/versions/" + version + "/ready", 200, `{"name":"echo","ready":true}`},
		{"GET", "/v2/models/echo/versions/1", 404, `{"error":"the model has no version \"1\": leave the version out"}`},
		{"GET", "/v2/models/other", 404, `{"error":"there is no model \"other\": call it echo or default"}`},
		{"GET", "/v2/models/other/ready", 404, `{"error":"there is no model \"other\": call it echo or default"}`},
		{"POST", "/v2/models/other/infer", 404, `{"error":"there is no model \"other\": call it echo or default"}`},
		{"POST", "/v2/repository/models/echo/unload", 404, `{"error":"there is nothing at POST /v2/repository/models/echo/unload"}`},
		{"GET", "/v2/repository/index", 200, index},
		{"POST", "/v2/repository/index", 200, index},
	} {
		resp, text := call(t, c.method, url+c.path, nil)
		if resp.StatusCode != c.status || strings.TrimSpace(string(text)) != c.body || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %s, %s\nwant %d %s", c.method, c.path, resp.Status, text, c.status, c.body)
		}
	}
}

func TestWhatIsNotReadyOrNotKnown(t *testing.T) {
	url := serve(t, func(c *oip.Service) {
		c.Model = func() *ocelli.Model { return nil }
		c.Ready = func(context.Context) error { return io.EOF }
	})
	for path, want := range map[string]int{
		"/v2": 200, "/v2/health/live": 200, "/v2/health/ready": 503, "/v2/models/default/ready": 503, "/v2/models/default": 200, "/v2/models/echo": 404,
	} {
		if resp, text := call(t, "GET", url+path, nil); resp.StatusCode != want {
			t.Errorf("%s: %s %s", path, resp.Status, text)
		}
	}
}

type tensor struct {
	Name, Datatype string
	Shape          []int
	Parameters     map[string]int
	Data           []any
}

type inference struct {
	ModelName    string `json:"model_name"`
	ModelVersion string `json:"model_version"`
	ID           string
	Outputs      []tensor
}

func base64s(images ...[]byte) string {
	var list []string
	for _, image := range images {
		list = append(list, strconv.Quote(base64.StdEncoding.EncodeToString(image)))
	}
	return "[" + strings.Join(list, ",") + "]"
}

func TestABatchInJSON(t *testing.T) {
	url := serve(t, nil)
	for name, in := range map[string]string{
		"flat":   `{"name":"image","shape":[2],"datatype":"BYTES","data":` + base64s(red, blue) + `}`,
		"nested": `{"name":"image","shape":[2,1],"datatype":"BYTES","data":[` + base64s(red) + `,` + base64s(blue) + `]}`,
	} {
		body := `{"id":"42","parameters":{"top_k":2,"unknown":"is passed over"},"inputs":[` + in + `],"outputs":[{"name":"index"},{"name":"label"}]}`
		resp, text := call(t, "POST", url+"/v2/models/echo/versions/"+version+"/infer", []byte(body))
		var got inference
		if err := json.Unmarshal(text, &got); err != nil || resp.StatusCode != 200 {
			t.Fatalf("%s: %s, %v: %s", name, resp.Status, err, text)
		}
		want := inference{ModelName: "echo", ModelVersion: version, ID: "42", Outputs: []tensor{
			{Name: "index", Datatype: "INT64", Shape: []int{2, 2}, Data: []any{0.0, 3.0, 2.0, 5.0}},
			{Name: "label", Datatype: "BYTES", Shape: []int{2, 2}, Data: []any{"red", "yellow", "blue", "black"}},
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// elements is binary tensor data.
func elements(images ...[]byte) []byte {
	var b []byte
	for _, image := range images {
		b = append(binary.LittleEndian.AppendUint32(b, uint32(len(image))), image...)
	}
	return b
}

func TestABatchAsBinaryTensorData(t *testing.T) {
	url := serve(t, nil)
	data := elements(blue, red, blue)
	head := fmt.Sprintf(`{"parameters":{"binary_data_output":true},"inputs":[{"name":"image","shape":[3],"datatype":"BYTES",`+
		`"parameters":{"binary_data_size":%d}}],"outputs":[{"name":"label"},{"name":"score"},{"name":"index"},{"name":"id","parameters":{"binary_data":false}}]}`, len(data))
	resp, text := call(t, "POST", url+"/v2/models/default/infer", append([]byte(head), data...), "Inference-Header-Content-Length", strconv.Itoa(len(head)))
	n, err := strconv.Atoi(resp.Header.Get("Inference-Header-Content-Length"))
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s, %v: %s", resp.Status, err, text)
	}
	var got inference
	if err := json.Unmarshal(text[:n], &got); err != nil {
		t.Fatal(err)
	}
	rest := text[n:]
	part := func(i int) []byte {
		size := got.Outputs[i].Parameters["binary_data_size"]
		bytes := rest[:size]
		rest = rest[size:]
		return bytes
	}
	labels, scores, indices := part(0), part(1), part(2)
	if !bytes.HasPrefix(labels, elements([]byte("blue"))) || len(scores) != 3*5*4 || len(indices) != 3*5*8 || len(rest) != 0 {
		t.Errorf("labels %q, %d and %d bytes, and %d more", labels, len(scores), len(indices), len(rest))
	}
	if s := math.Float32frombits(binary.LittleEndian.Uint32(scores)); s < 0.9 || s > 1 {
		t.Errorf("the first score is %f", s)
	}
	if i := binary.LittleEndian.Uint64(indices[5*8:]); i != 0 {
		t.Errorf("the index of red is %d", i)
	}
	if id := got.Outputs[3]; len(id.Data) != 15 || id.Parameters != nil {
		t.Errorf("the output that was asked for in JSON is %+v", id)
	}
}

func TestErrorsOfSingleImages(t *testing.T) {
	url := serve(t, nil)
	in := `{"inputs":[{"name":"image","shape":[2],"datatype":"BYTES","data":` + base64s([]byte("text"), red) + `}]`
	resp, text := call(t, "POST", url+"/v2/models/echo/infer", []byte(in+"}"))
	if resp.StatusCode != 415 || string(text) != `{"error":"image 1 is not an image: it begins like plain text"}`+"\n" {
		t.Errorf("%s %s", resp.Status, text)
	}
	resp, text = call(t, "POST", url+"/v2/models/echo/infer", []byte(in+`,"outputs":[{"name":"error"},{"name":"label"},{"name":"score","parameters":{"classification":1}}]}`))
	var got inference
	if err := json.Unmarshal(text, &got); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s, %v: %s", resp.Status, err, text)
	}
	if e := got.Outputs[0]; e.Data[0] == "" || e.Data[1] != "" || len(e.Shape) != 1 || got.Outputs[1].Data[0] != "" || got.Outputs[1].Data[5] != "red" {
		t.Errorf("got %s", text)
	}
	if c := got.Outputs[2]; c.Datatype != "BYTES" || len(c.Data) != 2 || !strings.HasSuffix(c.Data[1].(string), ":0:red") {
		t.Errorf("classification: %+v", c)
	}
}

func TestBadRequests(t *testing.T) {
	url := serve(t, nil)
	image := func(more string) string {
		return `{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES",` + more + `}]}`
	}
	for body, want := range map[string]int{
		``: 400, `{`: 400, `[]`: 400, `{"inputs":[]}`: 400,
		`{"inputs":[{"name":"other","shape":[1],"datatype":"BYTES","data":["aGk="]}]}`:                     400,
		`{"inputs":[{"name":"image","shape":[1],"datatype":"FP32","data":[1]}]}`:                           400,
		`{"inputs":[{"name":"image","shape":[2],"datatype":"BYTES","data":["aGk="]}]}`:                     400,
		`{"inputs":[{"name":"image","shape":[-1],"datatype":"BYTES","data":["aGk="]}]}`:                    400,
		`{"inputs":[{"name":"image","shape":[4294967296,4294967296],"datatype":"BYTES","data":["aGk="]}]}`: 400,
		image(`"data":["not base64"]`):                              400,
		image(`"data":[7]`):                                         400,
		image(`"data":{}`):                                          400,
		image(`"parameters":{"binary_data_size":7}`):                400,
		image(`"data":["aGk="]`)[:70]:                               400,
		`{"outputs":[{"name":"x"}],` + image(`"data":["aGk="]`)[1:]: 400,
		`{"outputs":[{"name":"label"},{"name":"label"}],` + image(`"data":["aGk="]`)[1:]:                  400,
		`{"outputs":[{"name":"label","parameters":{"classification":3}}],` + image(`"data":["aGk="]`)[1:]: 400,
		`{"parameters":{"top_k":0},` + image(`"data":["aGk="]`)[1:]:                                       400,
		image(`"data":["aGk="]`): 415,
		image(`"data":[""]`):     422,
	} {
		resp, text := call(t, "POST", url+"/v2/models/echo/infer", []byte(body))
		var e struct{ Error string }
		if err := json.Unmarshal(text, &e); err != nil || resp.StatusCode != want || e.Error == "" {
			t.Errorf("%s: %s %s, want %d", body, resp.Status, text, want)
		}
	}
	// Millions of elements are told from one or a few before they take memory.
	many := strings.Repeat(`{},`, 1<<20) + `{}`
	for name, body := range map[string]string{
		"inputs": `{"inputs":[` + many + `]}`, "data": image(`"data":[` + many + `]`), "texts": image(`"data":[""` + strings.Repeat(`,""`, 1<<20) + `]`),
		"lists": image(`"data":[[]` + strings.Repeat(`,[]`, 1<<20) + `]`), "outputs": `{"outputs":[` + many + `],` + image(`"data":["aGk="]`)[1:],
		"shape": `{"inputs":[{"name":"image","datatype":"BYTES","data":["aGk="],"shape":[1` + strings.Repeat(`,1`, 1<<20) + `]}]}`,
		"many":  `{"inputs":[{"name":"image","datatype":"BYTES","data":[""],"shape":[2000000000]}]}`,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		resp, text := call(t, "POST", url+"/v2/models/echo/infer", []byte(body))
		runtime.ReadMemStats(&after)
		if resp.StatusCode/100 != 4 {
			t.Errorf("%s: %s %s", name, resp.Status, text)
		}
		if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 60 {
			t.Errorf("%s: %d MB of memory for a request of %d", name, mb, len(body)>>20)
		}
	}
	if resp, text := call(t, "POST", url+"/v2/models/echo/infer", nil, "Content-Encoding", "gzip"); resp.StatusCode != 415 {
		t.Errorf("compressed: %s %s", resp.Status, text)
	}
	data := elements(red)
	head := func(size int) string {
		return fmt.Sprintf(`{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":%d}}]}`, size)
	}
	for name, c := range map[string]struct {
		head, length string
		data         []byte
		want         int
	}{
		"size too small": {head(len(data) - 1), "", data, 400},
		"size too large": {head(len(data) + 1), "", append(data, 0), 400},
		"cut off":        {head(len(data)), "", data[:len(data)-9], 400},
		"no data":        {head(len(data)), "", nil, 400},
		"bytes after it": {head(len(data)), "", append(data, 0), 400},
		"no number":      {head(len(data)), "x", data, 400},
		"beyond the end": {head(len(data)), "5000", data, 400},
		"one too large":  {head(4 + 2<<20), "", elements(append(red, make([]byte, 2<<20-len(red))...)), 413},
		"good":           {head(len(data)), "", data, 200},
	} {
		if c.length == "" {
			c.length = strconv.Itoa(len(c.head))
		}
		resp, text := call(t, "POST", url+"/v2/models/echo/infer", append([]byte(c.head), c.data...), "Inference-Header-Content-Length", c.length)
		if resp.StatusCode != c.want {
			t.Errorf("%s: %s %.200s, want %d", name, resp.Status, text, c.want)
		}
	}
}

func FuzzInfer(f *testing.F) {
	url := serve(f, nil) + "/v2/models/echo/infer"
	head := `{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","parameters":{"binary_data_size":6}}]}`
	f.Add([]byte(head+"\x02\x00\x00\x00hi"), len(head))
	f.Add([]byte(`{"inputs":[{"name":"image","shape":[1],"datatype":"BYTES","data":["aGk="]}],"outputs":[{"name":"error"}]}`), 0)
	f.Fuzz(func(t *testing.T, body []byte, length int) {
		var header []string
		if length != 0 {
			header = []string{"Inference-Header-Content-Length", strconv.Itoa(length)}
		}
		resp, text := call(t, "POST", url, body, header...)
		var answer map[string]any
		if resp.StatusCode >= 500 || resp.StatusCode != 200 && (json.Unmarshal(text, &answer) != nil || answer["error"] == "") {
			t.Errorf("%q: %s %s", body, resp.Status, text)
		}
	})
}

package oip_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ocelli/ocelli/internal/testtools"
)

const tritonScript = `
import base64, json, sys
import numpy as np, tritonclient.http as http
address, folder = sys.argv[1:]
c = http.InferenceServerClient(address)
out = {"live": c.is_server_live(), "ready": c.is_server_ready(), "model": c.is_model_ready("echo"), "version": c.is_model_ready("echo", "000000000000"),
       "server": c.get_server_metadata()["name"], "input": c.get_model_metadata("echo")["inputs"][0]["name"], "index": c.get_model_repository_index()[0]["name"]}
images = [open(folder + "/" + name, "rb").read() for name in ("red.png", "blue.png")]
image = http.InferInput("image", [2], "BYTES")
image.set_data_from_numpy(np.array(images, dtype=np.object_))
r = c.infer("echo", [image], request_id="7")
out["id"] = r.get_response()["id"]
out["binary"] = [r.as_numpy("label")[:, 0].astype(str).tolist(), r.as_numpy("index")[:, 0].tolist(), list(r.as_numpy("score").shape), r.as_numpy("error").astype(str).tolist()]
image.set_data_from_numpy(np.array([base64.b64encode(i).decode() for i in images], dtype=np.object_), binary_data=False)
r = c.infer("echo", [image], outputs=[http.InferRequestedOutput("label", binary_data=False), http.InferRequestedOutput("score", class_count=1)], parameters={"top_k": 1})
out["json"] = [r.as_numpy("label").tolist(), [s.decode().split(":")[1:] for s in r.as_numpy("score")[:, 0]]]
def error(f):
    try: f()
    except http.InferenceServerException as e: return [e.status(), e.message()]
out["unknown"] = error(lambda: c.infer("other", [image]))
image.set_data_from_numpy(np.array([b"plain text", images[0]], dtype=np.object_))
out["no image"] = error(lambda: c.infer("echo", [image]))
print(json.dumps(out))
`

func TestTritonsClient(t *testing.T) {
	folder := t.TempDir()
	for name, image := range map[string][]byte{"red.png": red, "blue.png": blue} {
		if err := os.WriteFile(filepath.Join(folder, name), image, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := strings.TrimPrefix(serve(t, nil), "http://")
	got := testtools.JSON(t, testtools.Command(t, "venv-protocols/bin/python", "-c", tritonScript, address, folder))
	list := func(v ...any) []any { return v }
	want := map[string]any{
		"live": true, "ready": true, "model": true, "version": true, "server": "ocelli", "input": "image", "index": "echo", "id": "7",
		"binary":   list(list("red", "blue"), list(0.0, 2.0), list(2.0, 5.0), list("", "")),
		"json":     list(list(list("red"), list("blue")), list(list("0", "red"), list("2", "blue"))),
		"unknown":  list("404", `there is no model "other": call it echo or default`),
		"no image": list("415", "image 1 is not an image: it begins like plain text"),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

package rekognition_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ocelli/ocelli/internal/testtools"
)

// tool returns a command of the Python environment with Amazon's tools, ready to call this service with the test's key.
func tool(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := testtools.Command(t, filepath.Join("venv-aws", "bin", name), args...)
	cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID="+key, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_DEFAULT_REGION=us-east-1",
		"AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1", "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull)
	return cmd
}

func write(t *testing.T, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestTheAWSCommandLine(t *testing.T) {
	url := serve(t, signed)
	detect := func(file string, env ...string) (string, error) {
		cmd := tool(t, "aws", "rekognition", "detect-labels", "--endpoint-url", url, "--image-bytes", "fileb://"+file, "--query", "Labels[].Name", "--output", "text")
		cmd.Env = append(cmd.Env, env...)
		out, err := cmd.CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	good := write(t, "red.png", red)
	if out, err := detect(good); err != nil || out != "Colour\tWarm Colour\tRed" {
		t.Errorf("%v: %q", err, out)
	}
	for want, c := range map[string]struct {
		file, env string
	}{
		"(InvalidImageFormatException)": {write(t, "notes.jpg", []byte("plain text")), "X="},
		"(ImageTooLargeException)":      {write(t, "large.jpg", make([]byte, 6<<20)), "X="},
		"(InvalidSignatureException)":   {good, "AWS_SECRET_ACCESS_KEY=wrong"},
		"(UnrecognizedClientException)": {good, "AWS_ACCESS_KEY_ID=AKIDOTHER"},
	} {
		if out, err := detect(c.file, c.env); err == nil || !strings.Contains(out, want) {
			t.Errorf("%v: %q, want %s", err, out, want)
		}
	}
}

const botoScript = `
import boto3, json, sys
url, folder = sys.argv[1:]
c = boto3.client("rekognition", endpoint_url=url)
read = lambda name: open(folder + "/" + name, "rb").read()
out = {"bytes": [l["Name"] for l in c.detect_labels(Image={"Bytes": read("red.png")}, MinConfidence=90)["Labels"]],
       "object": [l["Name"] for l in c.detect_labels(Image={"S3Object": {"Bucket": "photos", "Name": "folder/blue.png"}}, MaxLabels=2,
                  Settings={"GeneralLabels": {"LabelExclusionFilters": ["Colour"]}})["Labels"]]}
def caught(exception, **image):
    try:
        c.detect_labels(Image=image)
    except exception as e:
        return e.response["Error"]["Code"]
out["format"] = caught(c.exceptions.InvalidImageFormatException, Bytes=b"plain text")
out["large"] = caught(c.exceptions.ImageTooLargeException, Bytes=b"\xff\xd8\xff\xe0" + bytes(5 << 20))
out["missing"] = caught(c.exceptions.InvalidS3ObjectException, S3Object={"Bucket": "photos", "Name": "x"})
c = boto3.client("rekognition", endpoint_url=url, aws_secret_access_key="wrong", aws_access_key_id="` + key + `")
from botocore.exceptions import ClientError
out["signature"] = caught(ClientError, Bytes=read("red.png"))
print(json.dumps(out))
`

func TestBoto3(t *testing.T) {
	url := serve(t, signed)
	file := write(t, "red.png", red)
	got := testtools.JSON(t, tool(t, "python", "-c", botoScript, url, filepath.Dir(file)))
	want := map[string]any{
		"bytes": []any{"Colour", "Warm Colour", "Red"}, "object": []any{"Cold Colour", "Blue"},
		"format": "InvalidImageFormatException", "large": "ImageTooLargeException",
		"missing": "InvalidS3ObjectException", "signature": "InvalidSignatureException",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

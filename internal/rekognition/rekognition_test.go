package rekognition_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	aws2 "github.com/aws/aws-sdk-go-v2/service/rekognition"
	"github.com/aws/aws-sdk-go-v2/service/rekognition/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/intake"
	"github.com/ocelli/ocelli/internal/rekognition"
	"github.com/ocelli/ocelli/internal/work/worktest"
)

const (
	key    = "AKIDTEST"
	secret = "a secret"
)

var (
	red  = worktest.Picture(color.RGBA{R: 255, A: 255}, 100, 80)
	blue = worktest.Picture(color.RGBA{B: 255, A: 255}, 80, 120)
)

// objects is a bucket "photos".
func objects(_ context.Context, bucket, name string) (io.ReadCloser, error) {
	switch {
	case bucket == "photos" && name == "folder/blue.png":
		return io.NopCloser(bytes.NewReader(blue)), nil
	case bucket == "photos" && name == "large.jpg":
		return io.NopCloser(io.MultiReader(strings.NewReader("\xff\xd8\xff\xe0"), io.LimitReader(zeros{}, 16<<20))), nil
	case bucket == "photos" && name == "broken":
		return nil, io.ErrClosedPipe
	}
	return nil, fmt.Errorf("%s in %s: %w", name, bucket, blob.ErrNotFound)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// serve runs the service and returns its address; others are answered with 418.
func serve(t testing.TB, change func(*rekognition.Config)) string {
	t.Helper()
	c := rekognition.Config{
		Intake: worktest.Start(t, 1).Intake, Memory: intake.NewMemory(64 << 20), Objects: objects, Log: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&c)
	}
	teapot := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })
	server := httptest.NewServer(rekognition.New(c, teapot))
	t.Cleanup(server.Close)
	return server.URL
}

func signed(c *rekognition.Config) {
	c.Secrets = func(k string) (string, bool) { return secret, k == key }
}

// sdk is Amazon's own client. It does not try again, so that the first answer shows.
func sdk(url, key, secret string) *aws2.Client {
	return aws2.New(aws2.Options{
		BaseEndpoint: &url, Region: "eu-central-1", RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: key, SecretAccessKey: secret}, nil
		}),
	})
}

func TestLabelsForTheSDK(t *testing.T) {
	client := sdk(serve(t, signed), key, secret)
	out, err := client.DetectLabels(t.Context(), &aws2.DetectLabelsInput{Image: &types.Image{Bytes: red}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, l := range out.Labels {
		got = append(got, *l.Name)
		if *l.Confidence < 55 || *l.Confidence > 100 || len(l.Instances) != 0 || len(l.Aliases) != 0 {
			t.Errorf("%s: %+v", *l.Name, l)
		}
	}
	if diff := cmp.Diff([]string{"Colour", "Warm Colour", "Red"}, got); diff != "" {
		t.Errorf("labels (-want +got):\n%s", diff)
	}
	if p := out.Labels[2].Parents; len(p) != 2 || *p[0].Name != "Warm Colour" || *p[1].Name != "Colour" {
		t.Errorf("parents of red: %+v", p)
	}
	if *out.LabelModelVersion != "echo@000000000000" || out.OrientationCorrection != "" {
		t.Errorf("version %s, orientation %q", *out.LabelModelVersion, out.OrientationCorrection)
	}

	out, err = client.DetectLabels(t.Context(), &aws2.DetectLabelsInput{
		Image:     &types.Image{S3Object: &types.S3Object{Bucket: aws.String("photos"), Name: aws.String("folder/blue.png")}},
		MaxLabels: aws.Int32(1), MinConfidence: aws.Float32(0), Features: []types.DetectLabelsFeatureName{types.DetectLabelsFeatureNameGeneralLabels},
		Settings: &types.DetectLabelsSettings{GeneralLabels: &types.GeneralLabelsSettings{LabelExclusionFilters: []string{"colour", "Cold colour"}}},
	})
	if err != nil || len(out.Labels) != 1 || *out.Labels[0].Name != "Blue" {
		t.Errorf("%+v, %v", out, err)
	}
}

// is reports whether err is of one of the SDK's own types.
func is[T error](err error) bool {
	_, ok := errors.AsType[T](err)
	return ok
}

// The SDK turns the name of an error into a type: programs test for that.
func TestErrorsThatTheSDKKnows(t *testing.T) {
	url := serve(t, signed)
	detect := func(c *aws2.Client, in *aws2.DetectLabelsInput) error {
		_, err := c.DetectLabels(context.Background(), in)
		return err
	}
	ask := func(image []byte) error {
		return detect(sdk(url, key, secret), &aws2.DetectLabelsInput{Image: &types.Image{Bytes: image}})
	}
	object := func(bucket, name string) error {
		return detect(sdk(url, key, secret), &aws2.DetectLabelsInput{Image: &types.Image{S3Object: &types.S3Object{Bucket: &bucket, Name: &name}}})
	}
	large := append([]byte("\xff\xd8\xff\xe0"), make([]byte, 5<<20)...)
	for name, c := range map[string]struct {
		err  error
		want func(error) bool
	}{
		"not an image":        {ask([]byte("plain text")), is[*types.InvalidImageFormatException]},
		"half an image":       {ask(red[:len(red)/2]), is[*types.InvalidImageFormatException]},
		"one byte too large":  {ask(large[:5<<20+1]), is[*types.ImageTooLargeException]},
		"much too large":      {ask(append(large, large...)), is[*types.ImageTooLargeException]},
		"too few pixels":      {ask(worktest.Picture(color.Black, 79, 200)), is[*types.InvalidParameterException]},
		"too many pixels":     {ask(worktest.Picture(color.Black, 10_001, 80)), is[*types.ImageTooLargeException]},
		"no image":            {ask(nil), is[*types.InvalidParameterException]},
		"no such bucket":      {object("others", "x"), is[*types.InvalidS3ObjectException]},
		"no such object":      {object("photos", "x"), is[*types.InvalidS3ObjectException]},
		"too large an object": {object("photos", "large.jpg"), is[*types.ImageTooLargeException]},
		"a broken bucket":     {object("photos", "broken"), is[*types.InternalServerError]},
		"image properties": {detect(sdk(url, key, secret), &aws2.DetectLabelsInput{Image: &types.Image{Bytes: red},
			Features: []types.DetectLabelsFeatureName{types.DetectLabelsFeatureNameImageProperties}}), is[*types.InvalidParameterException]},
		"bad confidence": {detect(sdk(url, key, secret), &aws2.DetectLabelsInput{Image: &types.Image{Bytes: red}, MinConfidence: aws.Float32(101)}),
			is[*types.InvalidParameterException]},
		"bad filter": {detect(sdk(url, key, secret), &aws2.DetectLabelsInput{Image: &types.Image{Bytes: red},
			Settings: &types.DetectLabelsSettings{GeneralLabels: &types.GeneralLabelsSettings{LabelInclusionFilters: []string{"<dog>"}}}}),
			is[*types.InvalidParameterException]},
	} {
		if !c.want(c.err) {
			t.Errorf("%s: %v", name, c.err)
		}
	}

	in := &aws2.DetectLabelsInput{Image: &types.Image{Bytes: red}}
	_, faces := sdk(url, key, secret).DetectFaces(t.Context(), &aws2.DetectFacesInput{Image: &types.Image{Bytes: red}})
	for name, c := range map[string]struct {
		err  error
		code string
	}{
		"another secret":    {detect(sdk(url, key, "wrong"), in), "InvalidSignatureException"},
		"another key":       {detect(sdk(url, "AKIDOTHER", secret), in), "UnrecognizedClientException"},
		"another operation": {faces, "UnknownOperationException"},
	} {
		var api smithy.APIError
		if !errors.As(c.err, &api) || api.ErrorCode() != c.code {
			t.Errorf("%s: %v, want %s", name, c.err, c.code)
		}
	}
}

func TestAnySignatureIsTakenWhereNoKeysAreSet(t *testing.T) {
	out, err := sdk(serve(t, nil), "any", "thing").DetectLabels(t.Context(), &aws2.DetectLabelsInput{Image: &types.Image{Bytes: blue}})
	if err != nil || len(out.Labels) != 3 || *out.Labels[2].Name != "Blue" {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestABusyServiceIsAnErrorThatSDKsTryAgain(t *testing.T) {
	url := serve(t, func(c *rekognition.Config) { c.Intake.Limits.Backlog = 0 })
	_, err := sdk(url, key, secret).DetectLabels(t.Context(), &aws2.DetectLabelsInput{Image: &types.Image{Bytes: red}})
	var busy *types.ProvisionedThroughputExceededException
	if !errors.As(err, &busy) {
		t.Errorf("got %v", err)
	}
}

// post sends a request by hand.
func post(t testing.TB, url, target, body string) (*http.Response, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), "POST", url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if target != "" {
		req.Header.Set("X-Amz-Target", target)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer map[string]any
	_ = json.NewDecoder(resp.Body).Decode(&answer) // nil where it is no JSON
	return resp, answer
}

// Millions of elements are told from a few before they take memory.
func TestLongListsTakeNoMemory(t *testing.T) {
	url := serve(t, nil)
	many := `[""` + strings.Repeat(`,""`, 2<<20) + `]`
	for _, body := range []string{`{"Features":` + many + `}`, `{"Settings":{"GeneralLabels":{"LabelInclusionFilters":` + many + `}}}`} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Amz-Target", "RekognitionService.DetectLabels")
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), "more than") {
			t.Errorf("%s %s", resp.Status, text)
		}
		if mb := (after.TotalAlloc - before.TotalAlloc) >> 20; mb > 60 {
			t.Errorf("%d MB of memory for a request of %d", mb, len(body)>>20)
		}
	}
}

func TestWhatIsSentByHand(t *testing.T) {
	url := serve(t, nil)
	for body, want := range map[string]string{
		``:                                 "SerializationException",
		`[]`:                               "SerializationException",
		`{"Image":{"Bytes":"no base64!"}}`: "SerializationException",
		`{"Image":{"Bytes":7}}`:            "SerializationException",
		`{"Image":{"Bytes":"aGk="},"MaxLabels":1.5}`: "SerializationException",
		`{}`: "InvalidParameterException",
		`{"Image":{"S3Object":{"Bucket":"photos","Name":"x"},"Bytes":"aGk="}}`:                                                  "InvalidParameterException",
		`{"Image":{"S3Object":{"Bucket":"p/../q","Name":"x"}}}`:                                                                 "InvalidParameterException",
		`{"Image":{"S3Object":{"Bucket":"photos"}}}`:                                                                            "InvalidParameterException",
		`{"Image":{"S3Object":{"Bucket":"photos","Name":"folder/blue.png","Version":"2"}}}`:                                     "InvalidS3ObjectException",
		`{"Image":{"Bytes":"aGk="},"MaxLabels":-1}`:                                                                             "InvalidParameterException",
		`{"Image":{"Bytes":"aGk="},"Features":["FACES"]}`:                                                                       "InvalidParameterException",
		`{"Image":{"Bytes":"aGk="},"Settings":{"ImageProperties":{"MaxDominantColors":3}}}`:                                     "InvalidParameterException",
		`{"Image":{"Bytes":"aGk="},"Settings":{"GeneralLabels":{"LabelInclusionFilters":["` + strings.Repeat("x", 51) + `"]}}}`: "InvalidParameterException",
	} {
		resp, answer := post(t, url, "RekognitionService.DetectLabels", body)
		if answer["__type"] != want || answer["Message"] == "" || resp.StatusCode != 400 || resp.Header.Get("X-Amzn-Errortype") != want ||
			resp.Header.Get("Content-Type") != "application/x-amz-json-1.1" || resp.Header.Get("X-Amzn-Requestid") == "" {
			t.Errorf("%s: %s %v, want %s", body, resp.Status, answer, want)
		}
	}
	if resp, _ := post(t, url, "", `{}`); resp.StatusCode != http.StatusTeapot {
		t.Errorf("a request without target was answered %s", resp.Status)
	}
	if _, answer := post(t, serve(t, signed), "RekognitionService.DetectLabels", `{}`); answer["__type"] != "MissingAuthenticationTokenException" {
		t.Errorf("without a signature: %v", answer)
	}
}

// Whatever is sent, the answer is a good one or an error that the SDKs know.
func FuzzDetectLabels(f *testing.F) {
	url := serve(f, nil)
	f.Add(`{"Image":{"Bytes":"aGk="},"MaxLabels":3,"MinConfidence":1e-3,"Features":["GENERAL_LABELS"]}`)
	f.Add(`{"Image":{"S3Object":{"Bucket":"photos","Name":"folder/blue.png"}},"Settings":{"GeneralLabels":{"LabelCategoryExclusionFilters":["Sports"]}}}`)
	f.Add(`{"image":null}`)
	f.Fuzz(func(t *testing.T, body string) {
		resp, answer := post(t, url, "RekognitionService.DetectLabels", body)
		name, _ := answer["__type"].(string)
		if good := resp.StatusCode == 200 && answer["Labels"] != nil; !good && (resp.StatusCode != 400 || name == "") {
			t.Errorf("%q: %s %v", body, resp.Status, answer)
		}
	})
}

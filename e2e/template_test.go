package e2e

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/client"
	"github.com/ocelli/ocelli/internal/awstest"
	"github.com/ocelli/ocelli/internal/fleet/ec2fleet/ec2test"
	"github.com/ocelli/ocelli/internal/testtools"
)

const template = "../deploy/aws/ocelli.yaml"

func TestTheTemplateIsSound(t *testing.T) {
	t.Parallel()
	if said, err := testtools.Command(t, "venv-aws/bin/cfn-lint", template).CombinedOutput(); err != nil || len(bytes.TrimSpace(said)) > 0 {
		t.Errorf("cfn-lint: %v\n%s", err, said)
	}
}

// amazon is a stand-in for all of AWS.
type amazon struct {
	*awstest.Server
	t *testing.T
}

func newAmazon(t *testing.T) *amazon { return &amazon{awstest.Moto(t), t} }

// ask makes a request of the query protocol, without a signature, which the stand-in does not look at until it enforces; into gets the
// answer.
func (a *amazon) ask(into any, service, action string, parameters url.Values) {
	a.t.Helper()
	form := url.Values{"Action": {action}}
	maps.Copy(form, parameters)
	a.send(into, service, "", []byte(form.Encode()))
}

func (a *amazon) send(into any, service, target string, body []byte) {
	a.t.Helper()
	req, err := http.NewRequest(http.MethodPost, a.URL+"/", bytes.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=test/20260101/"+awstest.Region+"/"+service+"/aws4_request, SignedHeaders=host, Signature=0")
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	decode := xml.Unmarshal
	if target != "" {
		req.Header.Set("Content-Type", "application/x-amz-json-1.1")
		req.Header.Set("X-Amz-Target", target)
		decode = json.Unmarshal
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	if err == nil && into != nil {
		err = decode(text, into)
	}
	if err != nil {
		a.t.Fatalf("%s: %.200s: %v\n%s", service, body, err, text)
	}
}

// deploy makes a stack of the template and returns its outputs, and its resources by their logical names.
func (a *amazon) deploy(parameters ...string) (outputs, resources map[string]string) {
	a.t.Helper()
	body, err := os.ReadFile(template)
	if err != nil {
		a.t.Fatal(err)
	}
	form := url.Values{"StackName": {"story"}, "TemplateBody": {string(body)}, "Capabilities.member.1": {"CAPABILITY_IAM"}}
	parameters = append(parameters, "BinaryBucket=binaries", "BinarySha256="+strings.Repeat("0", 64), "AllowedCidr=203.0.113.0/24")
	for i, p := range parameters {
		key, value, _ := strings.Cut(p, "=")
		form.Set(fmt.Sprintf("Parameters.member.%d.ParameterKey", i+1), key)
		form.Set(fmt.Sprintf("Parameters.member.%d.ParameterValue", i+1), value)
	}
	a.ask(nil, "cloudformation", "CreateStack", form)
	var stack struct {
		Status  string                                    `xml:"DescribeStacksResult>Stacks>member>StackStatus"`
		Outputs []struct{ OutputKey, OutputValue string } `xml:"DescribeStacksResult>Stacks>member>Outputs>member"`
	}
	a.ask(&stack, "cloudformation", "DescribeStacks", url.Values{"StackName": {"story"}})
	if stack.Status != "CREATE_COMPLETE" {
		a.t.Fatalf("the stack is %q", stack.Status)
	}
	var parts struct {
		Resources []struct{ LogicalResourceId, PhysicalResourceId string } `xml:"DescribeStackResourcesResult>StackResources>member"`
	}
	a.ask(&parts, "cloudformation", "DescribeStackResources", url.Values{"StackName": {"story"}})
	outputs, resources = map[string]string{}, map[string]string{}
	for _, o := range stack.Outputs {
		outputs[o.OutputKey] = o.OutputValue
	}
	for _, r := range parts.Resources {
		resources[r.LogicalResourceId] = r.PhysicalResourceId
	}
	return outputs, resources
}

// holds fails the test where a stack lacks one of the resources.
func holds(t *testing.T, resources map[string]string, names ...string) {
	t.Helper()
	for _, name := range append(names, "Vpc", "SubnetB", "Bucket", "FrontQueue", "BulkQueue", "DeadQueue", "LeadQueue", "WebRole", "WorkerRole", "WorkerTemplate", "Web") {
		if resources[name] == "" {
			t.Errorf("the stack has no %s", name)
		}
	}
}

func TestTheTemplateDeploysBehindALoadBalancer(t *testing.T) {
	t.Parallel()
	a := newAmazon(t)
	var certificate struct{ CertificateArn string }
	a.send(&certificate, "acm", "CertificateManager.RequestCertificate", []byte(`{"DomainName":"o.example.com"}`))
	outputs, resources := a.deploy("CertificateArn=" + certificate.CertificateArn)
	holds(t, resources, "Balancer", "Target", "HTTPS")
	if outputs["Address"] == "" || !strings.Contains(outputs["Clean"], outputs["Bucket"]) {
		t.Errorf("the outputs are %v", outputs)
	}
}

// actor makes a user who may do what a role of the stack may, and returns its keys. The stand-in does not know the resources that an
// action of EC2 and SQS is for, nor conditions, so of those the actions alone are taken; of S3 the objects too.
func (a *amazon) actor(role, policy string, without ...string) aws.Credentials {
	a.t.Helper()
	var got struct {
		Document string `xml:"GetRolePolicyResult>PolicyDocument"`
	}
	a.ask(&got, "iam", "GetRolePolicy", url.Values{"RoleName": {role}, "PolicyName": {policy}})
	text, err := url.QueryUnescape(got.Document)
	if err != nil {
		a.t.Fatal(err)
	}
	var allowed struct {
		Version   string
		Statement []map[string]any
	}
	// The stand-in writes what CloudFormation gave it in the way of Python.
	if err := json.Unmarshal([]byte(strings.ReplaceAll(text, "'", `"`)), &allowed); err != nil {
		a.t.Fatal(err)
	}
	for _, s := range allowed.Statement {
		var actions []string
		switch v := s["Action"].(type) {
		case string:
			actions = []string{v}
		case []any:
			for _, action := range v {
				actions = append(actions, action.(string))
			}
		}
		kept := []string{"none:None"}
		for _, action := range actions {
			if slices.Contains(without, action) {
				continue
			}
			if kept = append(kept, action); strings.HasPrefix(action, "sqs:") {
				kept = append(kept, action+"Batch") // which the stand-in takes for an action of its own
			}
		}
		s["Action"] = kept
		delete(s, "Condition")
		if !strings.HasPrefix(actions[0], "s3:") {
			s["Resource"] = "*"
		}
	}
	document, err := json.Marshal(allowed)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.user(awstest.Name(), string(document))
}

func (a *amazon) user(name, document string) aws.Credentials {
	a.t.Helper()
	user := url.Values{"UserName": {name}}
	a.ask(nil, "iam", "CreateUser", user)
	a.ask(nil, "iam", "PutUserPolicy", url.Values{"UserName": {name}, "PolicyName": {"p"}, "PolicyDocument": {document}})
	var made struct {
		ID     string `xml:"CreateAccessKeyResult>AccessKey>AccessKeyId"`
		Secret string `xml:"CreateAccessKeyResult>AccessKey>SecretAccessKey"`
	}
	a.ask(&made, "iam", "CreateAccessKey", user)
	return aws.Credentials{AccessKeyID: made.ID, SecretAccessKey: made.Secret}
}

// enforce makes the stand-in refuse what the caller may not do.
func (a *amazon) enforce() {
	a.t.Helper()
	resp, err := http.Post(a.URL+"/moto-api/reset-auth", "text/plain", strings.NewReader("0"))
	if err != nil {
		a.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		a.t.Fatal(resp.Status)
	}
}

// The roles of the template suffice for the whole service, and what they lack is told by its name.
func TestTheRolesOfTheTemplateSuffice(t *testing.T) {
	t.Parallel()
	a := newAmazon(t)
	outputs, resources := a.deploy("DomainName=o.example.com")
	holds(t, resources, "WebAddress")
	web, worker := a.actor(resources["WebRole"], "web"), a.actor(resources["WorkerRole"], "worker")
	mute := a.actor(resources["WebRole"], "web", "s3:PutObject")
	admin := a.user("admin", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
	a.enforce()

	binaryFile, err := os.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	files := httptest.NewServer(http.FileServer(http.Dir(filepath.Dir(binary))))
	t.Cleanup(files.Close)
	library, err := filepath.Abs("../.deps/onnxruntime/libonnxruntime.so.1")
	if err != nil {
		t.Fatal(err)
	}
	if named := os.Getenv("OCELLI_ONNXRUNTIME"); named != "" {
		library = named
	}
	conf := a.Config()
	conf.Credentials = credentials.StaticCredentialsProvider{Value: admin}
	machines := &ec2test.Machines{
		Client: ec2.NewFromConfig(conf), Dir: t.TempDir(), Boot: 100 * time.Millisecond, Fleet: "ocelli",
		Env: []string{"OCELLI_ONNXRUNTIME=" + library}, Role: worker, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { defer close(over); _ = machines.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-over })

	fleet := url.Values{
		"endpoint": {a.URL}, "template": {"ocelli-worker"}, "subnets": {resources["SubnetA"] + "," + resources["SubnetB"]},
		"binary": {files.URL + "/" + filepath.Base(binary)}, "sha256": {fmt.Sprintf("%x", sha256.Sum256(binaryFile))},
	}
	args := []string{
		"--listen=127.0.0.1:0", "--queue=sqs://ocelli?endpoint=" + a.URL, "--blobs=s3://" + outputs["Bucket"] + "?path_style=true&endpoint=" + a.URL,
		"--fleet=ec2://ocelli?" + fleet.Encode(), "--max-workers=2", "--model=echo",
	}
	as := func(who aws.Credentials) []string {
		return append(append(os.Environ(), awstest.Env()...), "AWS_ACCESS_KEY_ID="+who.AccessKeyID, "AWS_SECRET_ACCESS_KEY="+who.SecretAccessKey)
	}
	pictures := func(yield func(client.File) bool) {
		for i := range 5 {
			open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(bitmap(64, 64+i))), nil }
			if !yield(client.File{Name: fmt.Sprintf("%d.bmp", i), Open: open}) {
				return
			}
		}
	}
	log := filepath.Join(t.TempDir(), "serve.log")
	c, err := client.New(serveRole(t, log, as(web), args...))
	if err != nil {
		t.Fatal(err)
	}
	job, err := c.Submit(t.Context(), pictures, 3*time.Minute)
	text, _ := os.ReadFile(log)
	if err != nil || job.State != ocelli.JobDone || job.Done != 5 {
		t.Fatalf("the job: %+v, %v\n%s", job, err, text)
	}
	if bytes.Contains(text, []byte("permission")) || bytes.Contains(text, []byte("AccessDenied")) {
		t.Errorf("something was refused:\n%s", text)
	}
	refused := exec.Command(binary, append([]string{"serve"}, args...)...)
	refused.Env = as(mute)
	if said, err := refused.CombinedOutput(); err == nil || !bytes.Contains(said, []byte("the credentials lack the permission s3:PutObject")) {
		t.Errorf("without s3:PutObject: %v\n%s", err, said)
	}
}

// serveRole starts `ocelli serve` until the test ends, and returns its address.
func serveRole(t *testing.T, log string, env []string, args ...string) string {
	t.Helper()
	f, err := os.Create(log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, append([]string{"serve"}, args...)...)
	cmd.Env, cmd.Stderr = env, f
	runFor(t, cmd)
	t.Cleanup(func() { f.Close() })
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		if found := servingAt.FindSubmatch(text); found != nil {
			return "http://" + string(found[1])
		}
		if time.Now().After(end) {
			t.Fatalf("the service does not start:\n%s", text)
		}
	}
}

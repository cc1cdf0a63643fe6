package e2e

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/ocelli/ocelli/internal/awstest"
	"github.com/ocelli/ocelli/internal/fleet/ec2fleet/ec2test"
)

// machines BOOT starts a stand-in for EC2 whose instances take BOOT to boot, puts the binary into the bucket of the cloud, and sets
// FLEET. What the machines do is written to machines.log.
func startMachines(ts *testscript.TestScript, _ bool, args []string) {
	boot, err := time.ParseDuration(args[0])
	ts.Check(err)
	s := serviceOf(ts)
	server := awstest.Moto(scriptTB{ts})
	client := ec2.NewFromConfig(server.Config())
	images, err := client.DescribeImages(context.Background(), &ec2.DescribeImagesInput{})
	ts.Check(err)
	sum := putBinary(ts)
	log, err := os.Create(ts.MkAbs("machines.log"))
	ts.Check(err)
	dir := ts.MkAbs("machines")
	ts.Check(os.MkdirAll(dir, 0o755))
	s.machines = &ec2test.Machines{
		Client: client, Dir: dir, Boot: boot,
		Env:  []string{"OCELLI_ONNXRUNTIME=" + ts.Getenv("OCELLI_ONNXRUNTIME")},
		Role: aws.Credentials{AccessKeyID: awstest.AccessKey, SecretAccessKey: awstest.SecretKey},
		Log:  slog.New(slog.NewTextHandler(log, nil)),
	}
	ctx, cancel := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() { defer close(over); _ = s.machines.Run(ctx) }()
	ts.Defer(func() { cancel(); <-over; log.Close() })
	fleet := url.Values{
		"endpoint": {server.URL}, "image": {aws.ToString(images.Images[0].ImageId)}, "type": {"c5.large"},
		"binary": {"s3://" + ts.Getenv("BUCKET") + "/bin/ocelli"}, "sha256": {sum},
	}
	ts.Setenv("FLEET", "ec2://story?"+fleet.Encode())
}

// putBinary puts the binary under test where instances fetch it, and returns its SHA-256.
func putBinary(ts *testscript.TestScript) string {
	body, err := os.ReadFile(binary)
	ts.Check(err)
	f, err := os.Open(binary)
	ts.Check(err)
	defer f.Close()
	store := s3.NewFromConfig(serviceOf(ts).cloud.s3.Config(), func(o *s3.Options) { o.UsePathStyle = true })
	_, err = store.PutObject(context.Background(), &s3.PutObjectInput{
		Bucket: aws.String(ts.Getenv("BUCKET")), Key: aws.String("bin/ocelli"), Body: f,
	})
	ts.Check(err)
	return fmt.Sprintf("%x", sha256.Sum256(body))
}

// machines-left N WITHIN waits until N instances are running.
func machinesLeft(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	within, err := time.ParseDuration(args[1])
	ts.Check(err)
	began := time.Now()
	for ; time.Since(began) < within; time.Sleep(50 * time.Millisecond) {
		n, err := serviceOf(ts).machines.Running(context.Background())
		ts.Check(err)
		if n == want {
			ts.Logf("%d machines are left after %v", n, time.Since(began).Round(time.Millisecond))
			return
		}
	}
	ts.Fatalf("after %v there are not %d machines", within, want)
}

// machines-most N fails unless N instances were running at once at most, and at some time as many.
func machinesMost(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	if most := serviceOf(ts).machines.Most(); most != want {
		ts.Fatalf("there were up to %d machines, want %d", most, want)
	}
}

// take-back announces to the machines that run that EC2 takes them back.
func takeBack(ts *testscript.TestScript, _ bool, _ []string) { serviceOf(ts).machines.TakeBack() }

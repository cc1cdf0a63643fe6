// Package awsconn opens the connection to AWS, or to a server that speaks its protocols, and turns what AWS answers into
// sentences that say what to do.
package awsconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
)

const (
	// dialTimeout bounds the making of one connection: a server that is down is told soon.
	dialTimeout = 5 * time.Second

	// idleConnections is how many connections to one server are kept for the next requests. A web node takes many images
	// at once, and each new connection costs a TLS handshake.
	idleConnections = 64

	// credentialsTimeout bounds the search for credentials, whose last stop is the metadata service of an EC2 instance.
	credentialsTimeout = 20 * time.Second

	// anyRegion is what servers that are not of AWS are told when nothing else is set: they want some region in a signature.
	anyRegion = "us-east-1"
)

// Options say where to connect to.
type Options struct {
	// Region is that of the service, like eu-central-1. When it is empty the SDK's own chain has it: AWS_REGION, the
	// profile, the instance.
	Region string
	// Endpoint is the URL of a server that speaks the protocol; empty means AWS itself.
	Endpoint string
}

// Load finds credentials and region by the SDK's chain: environment, shared files, role of the container or instance
// (https://docs.aws.amazon.com/sdkref/latest/guide/standardized-credentials.html). It reaches no service but those that hand out
// credentials, and returns an error that says what to set when there are none.
func Load(ctx context.Context, o Options) (aws.Config, error) {
	if err := checkEndpoint(o.Endpoint); err != nil {
		return aws.Config{}, err
	}
	client := awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout }).
		WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = idleConnections })
	cfg, err := config.LoadDefaultConfig(ctx, config.WithHTTPClient(client), config.WithRegion(o.Region), config.WithRetryMode(aws.RetryModeStandard))
	if err != nil {
		return aws.Config{}, fmt.Errorf("reading the AWS settings of this machine: %w", err)
	}
	if o.Endpoint != "" {
		cfg.BaseEndpoint = &o.Endpoint
		if cfg.Region == "" {
			cfg.Region = anyRegion
		}
	}
	if cfg.Region == "" {
		return aws.Config{}, errors.New("no AWS region is set: add ?region=eu-central-1 (or yours) to the URL, or set AWS_REGION")
	}
	ctx, cancel := context.WithTimeout(ctx, credentialsTimeout)
	defer cancel()
	if _, err := cfg.Credentials.Retrieve(ctx); err != nil {
		return aws.Config{}, fmt.Errorf("no AWS credentials were found: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "+
			"or give the instance a role (%w)", err)
	}
	return cfg, nil
}

func checkEndpoint(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return fmt.Errorf("the endpoint %q is not possible: write it like https://s3.example.com", text)
	}
	return nil
}

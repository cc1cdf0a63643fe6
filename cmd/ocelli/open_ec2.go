package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/awsconn"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/fleet/ec2fleet"
	"github.com/ocelli/ocelli/internal/scale"
)

const ec2Form = "ec2://NAME?region=REGION&template=TEMPLATE"

// ec2Workers is how many instances there may be where nobody says: what a new account may start.
const ec2Workers = 19

// ec2Settings are what the URL of an EC2 fleet says.
type ec2Settings struct {
	fleet ec2fleet.Config
	conn  awsconn.Options

	binary      string        // where an instance fetches the worker's binary; "" is this very binary, put into the store
	maxLife     time.Duration // after which an instance is replaced
	endWhenIdle time.Duration // an instance that nobody needs ends itself after so long
	price       float64       // USD per hour of an instance
}

// parseEC2 reads a URL like ec2://NAME?region=eu-central-1&template=workers.
func parseEC2(u *url.URL) (*ec2Settings, error) {
	s := &ec2Settings{maxLife: 12 * time.Hour, endWhenIdle: 10 * time.Minute}
	c := &s.fleet
	c.Fleet = u.Host
	if c.Fleet == "" {
		c.Fleet = "ocelli"
	}
	text := func(to *string) func(string) error { return func(v string) error { *to = v; return nil } }
	list := func(to *[]string) func(string) error {
		return func(v string) error { *to = strings.Split(v, ","); return nil }
	}
	span := func(to *time.Duration) func(string) error {
		return func(v string) (err error) {
			if *to, err = time.ParseDuration(v); err == nil && *to < time.Minute {
				err = errors.New("too short")
			}
			return err
		}
	}
	err := parameters(u, awsParameters(&s.conn, map[string]func(string) error{
		"template": text(&c.Template), "image": text(&c.Image), "type": text(&c.Type), "key": text(&c.Key), "profile": text(&c.Profile),
		"security_groups": list(&c.SecurityGroups), "subnets": list(&c.Subnets),
		"spot":   func(v string) (err error) { c.Spot, err = strconv.ParseBool(v); return err },
		"binary": text(&s.binary), "sha256": text(&c.Boot.SHA256),
		"max_life": span(&s.maxLife), "end_when_idle": span(&s.endWhenIdle),
		"usd_per_hour": func(v string) (err error) { s.price, err = strconv.ParseFloat(v, 64); return err },
	}))
	if err != nil {
		return nil, fmt.Errorf("--fleet: %w", err)
	}
	if (s.binary == "") != (c.Boot.SHA256 == "") {
		return nil, errors.New("--fleet: binary= and sha256= belong together: give both, or neither to have this very binary used")
	}
	return s, nil
}

// openEC2 launches EC2 instances as workers.
func openEC2(ctx context.Context, u *url.URL, shared sharedSettings, scaling scalingSettings, worker workerSettings, at urls, b *backends, log *slog.Logger) (*hands, error) {
	s, err := parseEC2(u)
	if err != nil {
		return nil, err
	}
	conn, err := awsconn.Load(ctx, s.conn)
	if err != nil {
		return nil, fmt.Errorf("--fleet=%s: %w", u, err)
	}
	policy := scaling.policy(scale.Cloud(ec2Workers))
	if s.price > 0 {
		policy.Price = s.price
	}
	h := &hands{policy: policy, stay: true}
	args := workerArgs(shared, worker, at)
	c := s.fleet
	if c.Spot {
		args = append(args, "--spot")
	}
	c.Region, c.Endpoint, c.Max, c.Version = conn.Region, s.conn.Endpoint, policy.Max, ocelli.Version()
	c.Boot.Args, c.Boot.Env = args, []string{"AWS_REGION=" + conn.Region}
	c.Boot.ArgsThen = func() []string {
		if h.now().Min > 0 { // else those kept without work would come and go
			return nil
		}
		return []string{"--end-when-idle=" + s.endWhenIdle.String()}
	}
	// The controller replaces a worker in time; the machine's own end is for when there is none.
	c.Boot.MaxLife = s.maxLife + 15*time.Minute
	if err := s.locate(ctx, &c.Boot, conn.Region, at.blobs, b.blobs); err != nil {
		return nil, err
	}
	launcher, err := ec2fleet.Open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("--fleet: %w", err)
	}
	h.launcher, h.crew = launcher, fleet.CrewConfig{
		Max: policy.Max, Exits: launcher.Exits(), MaxLife: s.maxLife,
		StartDeadline: 5 * time.Minute, DrainTimeout: 3 * time.Minute, SilentFor: time.Minute,
	}
	log.Info("workers run on EC2", "fleet", c.Fleet, "region", conn.Region, "max", policy.Max)
	return h, nil
}

// locate says where instances find their binary. Unless it is named, it is the one that runs here: it is put into the bucket, under a
// key that is made of its checksum.
func (s *ec2Settings) locate(ctx context.Context, boot *ec2fleet.Boot, region, blobs string, store blob.Store) error {
	binary, endpoint := s.binary, ""
	bucket, err := url.Parse(blobs)
	if err == nil && bucket.Scheme == "s3" {
		cfg, conn, err := parseS3(bucket)
		if err != nil {
			return err
		}
		endpoint = conn.Endpoint
		if conn.Region != "" {
			region = conn.Region
		}
		if binary == "" {
			key, err := s.upload(ctx, boot, store)
			if err != nil {
				return err
			}
			binary = "s3://" + cfg.Bucket + strings.TrimSuffix("/"+cfg.Prefix, "/") + "/" + key
		}
	}
	if binary == "" {
		return usageError{errors.New("--fleet: instances fetch the worker's binary from a bucket: keep the images in one (--blobs s3://BUCKET), or name the binary with binary= and sha256=")}
	}
	object, ok := strings.CutPrefix(binary, "s3://")
	if !ok {
		boot.Binary = binary
		return nil
	}
	if endpoint == "" {
		endpoint = "https://s3." + region + ".amazonaws.com"
		if strings.HasPrefix(region, "cn-") {
			endpoint += ".cn"
		}
	}
	boot.Binary, boot.SignFor = endpoint+"/"+object, region
	return nil
}

// binaries is the folder of the store for the binaries that workers run.
const binaries = "bin/"

// upload puts this very binary into the store, unless it is there, and returns its key.
func (s *ec2Settings) upload(ctx context.Context, boot *ec2fleet.Boot, store blob.Store) (string, error) {
	if !packed {
		return "", usageError{errors.New("--fleet: this binary does not hold all that a worker needs: use the packed one, which `make dist` makes, or name one with binary= and sha256=")}
	}
	path, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("finding the program to start workers with: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("reading the program to start workers with: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return "", fmt.Errorf("reading %s: %w", path, err)
	}
	boot.SHA256 = fmt.Sprintf("%x", sum.Sum(nil))
	key := binaries + "ocelli-" + boot.SHA256
	switch there, err := store.Open(ctx, key); {
	case err == nil:
		return key, there.Close()
	case !errors.Is(err, blob.ErrNotFound):
		return "", err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", err
	}
	_, err = store.Put(ctx, key, f)
	return key, err
}

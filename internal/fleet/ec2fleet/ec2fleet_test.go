package ec2fleet_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/ocelli/ocelli/internal/awstest"
	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/fleet/ec2fleet"
	"github.com/ocelli/ocelli/internal/fleet/fleettest"
)

// stand is a stand-in for EC2 with an image.
type stand struct {
	*awstest.Server
	client *ec2.Client
	image  string
}

func newStand(t *testing.T) stand {
	t.Helper()
	server := awstest.Moto(t) // before the environment: it has SDK settings of its own
	for _, kv := range awstest.Env() {
		key, value, _ := strings.Cut(kv, "=")
		t.Setenv(key, value)
	}
	client := ec2.NewFromConfig(server.Config())
	images, err := client.DescribeImages(t.Context(), &ec2.DescribeImagesInput{})
	if err != nil || len(images.Images) == 0 {
		t.Fatalf("the stand-in has no image: %v", err)
	}
	return stand{server, client, aws.ToString(images.Images[0].ImageId)}
}

func (s stand) config() ec2fleet.Config {
	return ec2fleet.Config{
		Fleet: "f" + strings.ReplaceAll(awstest.Name(), "ocelli-test", ""), Endpoint: s.URL, Image: s.image, Type: "c5.large",
		Boot: ec2fleet.Boot{Binary: "https://example.com/ocelli", SHA256: strings.Repeat("0", 64), MaxLife: time.Hour},
	}
}

func open(t *testing.T, c ec2fleet.Config) *ec2fleet.Launcher {
	t.Helper()
	l, err := ec2fleet.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestSuite(t *testing.T) {
	s := newStand(t)
	fleettest.Run(t, func(t *testing.T) fleettest.World {
		c := s.config() // its fleet's name is new each time
		l := open(t, c)
		return fleettest.World{
			Launcher: l, Exits: l.Exits(),
			Again: func(t *testing.T) fleet.Launcher { return open(t, c) },
		}
	})
}

func TestSuiteWithALaunchTemplate(t *testing.T) {
	s := newStand(t)
	_, err := s.client.CreateLaunchTemplate(t.Context(), &ec2.CreateLaunchTemplateInput{
		LaunchTemplateName: aws.String("workers"),
		LaunchTemplateData: &types.RequestLaunchTemplateData{ImageId: aws.String(s.image), InstanceType: types.InstanceTypeC5Large},
	})
	if err != nil {
		t.Fatal(err)
	}
	fleettest.Run(t, func(t *testing.T) fleettest.World {
		c := s.config()
		c.Template, c.Image, c.Type, c.Spot = "workers", "", "", true
		l := open(t, c)
		return fleettest.World{Launcher: l, Exits: l.Exits()}
	})
}

func TestWhatAnInstanceIsLaunchedWith(t *testing.T) {
	s := newStand(t)
	c := s.config()
	c.Version = "v1"
	launched, err := open(t, c).Launch(t.Context(), "w-2", "w-1")
	if err != nil {
		t.Fatal(err)
	}
	for i, inst := range launched {
		out, err := s.client.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{inst.ID}})
		if err != nil {
			t.Fatal(err)
		}
		got := out.Reservations[0].Instances[0]
		tags := map[string]string{}
		for _, tag := range got.Tags {
			tags[*tag.Key] = *tag.Value
		}
		if int(*got.AmiLaunchIndex) != i || tags["ocelli:names-1"] != "w-2 w-1" || tags["ocelli:fleet"] != c.Fleet || tags["ocelli:version"] != "v1" {
			t.Errorf("%s has index %d and tags %v", inst.Name, *got.AmiLaunchIndex, tags)
		}
		if got.MetadataOptions == nil || got.MetadataOptions.HttpTokens != types.HttpTokensStateRequired {
			t.Errorf("%s answers requests for metadata without a token: %+v", inst.Name, got.MetadataOptions)
		}
		if out.Reservations[0].ReservationId == nil || len(out.Reservations[0].Instances) < 1 {
			t.Errorf("%s has no reservation", inst.Name)
		}
	}
}

// Some of it EC2 tells only when it is to launch in earnest.
func TestWhatIsWrongIsSaidInOneSentence(t *testing.T) {
	s := newStand(t)
	for name, tt := range map[string]struct {
		change func(*ec2fleet.Config)
		want   string
	}{
		"a template that is not there": {func(c *ec2fleet.Config) { c.Template = "nobody" }, "the launch template is not there: check template="},
		"a subnet that is not there":   {func(c *ec2fleet.Config) { c.Subnets = []string{"subnet-1"} }, "a subnet is not there: check subnets="},
		"nothing to launch":            {func(c *ec2fleet.Config) { c.Image = "" }, "needs a launch template or an image"},
		"no checksum":                  {func(c *ec2fleet.Config) { c.Boot.SHA256 = "abc" }, "is no SHA-256"},
		"nobody at the address":        {func(c *ec2fleet.Config) { c.Endpoint = "http://127.0.0.1:1" }, "cannot be reached"},
	} {
		t.Run(name, func(t *testing.T) {
			c := s.config()
			tt.change(&c)
			l, err := ec2fleet.Open(t.Context(), c)
			if err == nil {
				_, err = l.Launch(t.Context(), "w-1")
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

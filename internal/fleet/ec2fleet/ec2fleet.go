// Package ec2fleet launches workers as EC2 instances.
//
// # Life
//
// All workers of one Launch are asked for in one RunInstances call, so that nineteen take no longer than one. Their names
// stand, in order, in tags that all of them share; an instance's place in its reservation, its launch index
// (https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/AMI-launch-index-examples.html), says which of them is its own. So a
// worker has its name from its first moment, and there is no time in which it exists and has none. The user data is a
// script ([Boot]) that fetches the binary, checks its SHA-256 and lets systemd run it.
//
// Drain and Terminate both end the instance. Drain lets its system shut down in order, which is SIGTERM for the worker: it
// leases no more, finishes what it holds, and EC2 stops billing at once. Terminate skips that.
//
// # Promises
//
// A call whose answer was lost is repeated with the same client token, so it launches nothing twice. Where two instances have
// one name nevertheless, List ends the younger. DescribeInstances may lag behind: an instance that was launched is
// listed even before EC2 lists it. Only instances with the tag of the fleet are ever looked at or ended.
//
// No instance lives for ever: each has a time of death in its user data, ends itself when its worker has ended, and is
// terminated, not stopped, when it shuts down.
//
// # Not promised
//
// Which of several subnets an instance is in. That a spot instance lives: it is told two minutes before
// ([WatchNotice]), and its worker then drains.
//
// # Costs
//
// A List is one DescribeInstances call for each 1,000 instances, a Launch one more and a RunInstances call. None of them
// is billed.
//
// # Size of the binary
//
// [ec2.Client] has about 700 methods. The linker drops those that are not called, but only as long as the client's type is never
// reachable through an interface, which Launcher's fields are; the methods are therefore held as functions ([calls]). With the client
// as a field, or an SDK paginator, the binary would be 37 MB larger.
package ec2fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/ocelli/ocelli/internal/awsconn"
	"github.com/ocelli/ocelli/internal/fleet"
)

// The tags of an instance. The names of its reservation are joined by spaces and cut into tags that end in "1", "2", …
const (
	fleetTag   = "ocelli:fleet"
	namesTag   = "ocelli:names-"
	versionTag = "ocelli:version"
)

// Config says where workers are launched and what they are. Either Template or Image must be given; what both say, the
// fields here decide.
type Config struct {
	Fleet    string // name of the fleet, as a tag of its instances: no instance without it is ever touched
	Region   string // "" is the one of the SDK's own settings
	Endpoint string // of EC2's API; "" is the region's

	Template       string   // id or name of a launch template, "lt-0abc" or "workers:3" with a version
	Image          string   // AMI
	Type           string   // "c7i.large"
	Key            string   // key pair for SSH
	SecurityGroups []string // ids
	Subnets        []string // ids; where one is short of capacity the next is tried
	Profile        string   // instance profile, by name or ARN
	Spot           bool     // spot instances, and on-demand ones where there are none

	Max     int    // instances alive at most; 0 is no bound. The last guard of an operator's money
	Version string // of the binary, for the people who read the tags
	Boot    Boot   // what an instance does when it starts
}

// Validate says everything that is wrong with the configuration.
func (c Config) Validate() error {
	var errs []error
	say := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	say(fleet.CheckName(c.Fleet) != nil, "%.80q is no name for a fleet: use 1 to 63 lower-case letters, digits and dashes", c.Fleet)
	say(c.Template == "" && c.Image == "", "an EC2 fleet needs a launch template or an image: give template=NAME or image=ami-…")
	say(c.Image != "" && !strings.HasPrefix(c.Image, "ami-"), "image=%.80s is no AMI: its id begins with ami-", c.Image)
	say(c.Template == "" && c.Type == "", "an EC2 fleet without a launch template needs an instance type: give type=c7i.large or another")
	for _, id := range c.Subnets {
		say(!strings.HasPrefix(id, "subnet-"), "%.80q is no subnet: its id begins with subnet-", id)
	}
	for _, id := range c.SecurityGroups {
		say(!strings.HasPrefix(id, "sg-"), "%.80q is no security group: its id begins with sg-", id)
	}
	return errors.Join(append(errs, c.Boot.validate())...)
}

// calls are the operations that a launcher needs; see the package comment for why they are no interface.
type calls struct {
	run       func(context.Context, *ec2.RunInstancesInput) (*ec2.RunInstancesOutput, error)
	describe  func(context.Context, *ec2.DescribeInstancesInput) (*ec2.DescribeInstancesOutput, error)
	terminate func(context.Context, *ec2.TerminateInstancesInput) (*ec2.TerminateInstancesOutput, error)
}

// Launcher is a [fleet.Launcher] of EC2 instances. What it remembers only bridges the time until EC2's own lists are up
// to date.
type Launcher struct {
	config Config
	calls  calls
	exits  chan fleet.Exit

	launching sync.Mutex // held by Launch: the next looks when the last has launched
	unknown   pending    // the last launch whose outcome is not known; guarded by launching

	mu    sync.Mutex
	fresh map[string]fleet.Instance // by id: launched here, and not seen in EC2's list yet
	alive map[string]string         // name by id, as of the last List: whoever leaves it has ended
}

// pending is a launch whose answer was lost.
type pending struct{ names, token string }

var _ fleet.Launcher = (*Launcher)(nil)

// Open returns a launcher, after it has asked EC2 whether the account may launch what config says, and found its instances.
func Open(ctx context.Context, c Config) (*Launcher, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	l, err := connect(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := l.check(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// Attach returns a launcher that only lists and ends the instances of a fleet; of c it needs Fleet, Region and Endpoint.
func Attach(ctx context.Context, c Config) (*Launcher, error) {
	return connect(ctx, c)
}

func connect(ctx context.Context, c Config) (*Launcher, error) {
	settings, err := awsconn.Load(ctx, awsconn.Options{Region: c.Region, Endpoint: c.Endpoint})
	if err != nil {
		return nil, err
	}
	client := ec2.NewFromConfig(settings)
	return newLauncher(c, calls{
		run: func(ctx context.Context, in *ec2.RunInstancesInput) (*ec2.RunInstancesOutput, error) {
			return client.RunInstances(ctx, in)
		},
		describe: func(ctx context.Context, in *ec2.DescribeInstancesInput) (*ec2.DescribeInstancesOutput, error) {
			return client.DescribeInstances(ctx, in)
		},
		terminate: func(ctx context.Context, in *ec2.TerminateInstancesInput) (*ec2.TerminateInstancesOutput, error) {
			return client.TerminateInstances(ctx, in)
		},
	}), nil
}

func newLauncher(c Config, api calls) *Launcher {
	return &Launcher{
		config: c, calls: api,
		exits: make(chan fleet.Exit, 256),
		fresh: map[string]fleet.Instance{}, alive: map[string]string{},
	}
}

// Exits tells how instances ended, as EC2 gives the reason.
func (l *Launcher) Exits() <-chan fleet.Exit { return l.exits }

// check asks for one instance without launching it, and lists those that are there.
func (l *Launcher) check(ctx context.Context) error {
	in := l.request([]string{"check"}, attempt{subnet: cmp.Or(l.config.Subnets...), spot: l.config.Spot, least: 1}, "check")
	in.DryRun, in.ClientToken = aws.Bool(true), nil
	if _, err := l.calls.run(ctx, in); code(err) != "DryRunOperation" {
		return explain(ctx, "launch workers on EC2", err)
	}
	_, err := l.List(ctx)
	return err
}

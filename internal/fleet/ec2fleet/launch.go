package ec2fleet

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/ocelli/ocelli/internal/fleet"
)

// mostAtOnce bounds the names of one call: they must fit into the tags of an instance.
const mostAtOnce = 100

// Launch asks for all workers in one call. Where EC2 has not so many, it takes what there is, in one subnet after the other and
// as on-demand instances in place of spot ones.
func (l *Launcher) Launch(ctx context.Context, names ...string) ([]fleet.Instance, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("launch %d workers: %w", len(names), err)
	}
	l.launching.Lock()
	defer l.launching.Unlock()
	machines, err := l.machines(ctx)
	if err != nil {
		return nil, err
	}
	found := map[string]fleet.Instance{}
	for _, m := range machines {
		if _, twice := found[m.Name]; !twice {
			found[m.Name] = m
		}
	}
	missing, errs := l.missing(names, found)
	for group := range slices.Chunk(missing, mostAtOnce) {
		launched, err := l.launch(ctx, group)
		for _, inst := range launched {
			found[inst.Name] = inst
		}
		if err != nil {
			errs = append(errs, err)
			break
		}
	}
	var all []fleet.Instance
	for _, name := range names {
		if inst, ok := found[name]; ok {
			all = append(all, inst)
		}
	}
	return all, errors.Join(errs...)
}

// missing returns the names to be launched, each once, no more than there is room for.
func (l *Launcher) missing(names []string, found map[string]fleet.Instance) (missing []string, errs []error) {
	for _, name := range names {
		_, lives := found[name]
		switch err := fleet.CheckName(name); {
		case err != nil:
			errs = append(errs, err)
		case !lives && !slices.Contains(missing, name):
			missing = append(missing, name)
		}
	}
	if most := l.config.Max; most > 0 && len(found)+len(missing) > most {
		room := max(0, most-len(found))
		errs = append(errs, fmt.Errorf("launch %d workers: %d instances are alive and %d may be at most", len(missing), len(found), most))
		missing = missing[:min(room, len(missing))]
	}
	return missing, errs
}

// attempt is one way to ask.
type attempt struct {
	subnet string // "" leaves it to the template, or to EC2
	spot   bool
	least  int // fewer are refused
}

// attempts are the ways to ask for n instances, the best first: all in one subnet, then as many as a subnet has.
func (l *Launcher) attempts(n int) []attempt {
	subnets := l.config.Subnets
	if len(subnets) == 0 {
		subnets = []string{""}
	}
	var all []attempt
	for _, spot := range slices.Compact([]bool{l.config.Spot, false}) {
		for _, least := range slices.Compact([]int{n, 1}) {
			for _, subnet := range subnets {
				all = append(all, attempt{subnet, spot, least})
			}
		}
	}
	return all
}

// launch makes attempts until all names are launched. The token of a launch whose outcome is not known is kept, so that its
// repetition is the same launch to EC2; each attempt adds its number to it, since one that differs needs a token of its own
// (https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html).
func (l *Launcher) launch(ctx context.Context, names []string) ([]fleet.Instance, error) {
	joined, token := strings.Join(names, " "), rand.Text()
	if l.unknown.names == joined {
		token = l.unknown.token
	}
	l.unknown = pending{}
	var all []fleet.Instance
	var refused error
	left := names
	for i, a := range l.attempts(len(names)) {
		a.least = min(a.least, len(left))
		out, err := l.calls.run(ctx, l.request(left, a, fmt.Sprintf("%s-%d", token, i)))
		switch {
		case err == nil:
			launched := l.enter(out)
			all = append(all, launched...)
			left = slices.DeleteFunc(slices.Clone(left), func(name string) bool {
				return slices.ContainsFunc(launched, func(inst fleet.Instance) bool { return inst.Name == name })
			})
		case elsewhere(err):
			refused = err
		default:
			if code(err) == "" { // it may have happened
				l.unknown = pending{joined, token}
			}
			return all, explain(ctx, "launch workers on EC2", err)
		}
		if len(left) == 0 {
			return all, nil
		}
	}
	if refused == nil {
		return all, fmt.Errorf("EC2 launched %d of %d instances and gave no reason", len(all), len(names))
	}
	return all, explain(ctx, "launch workers on EC2", refused)
}

// enter remembers what was launched until EC2 lists it.
func (l *Launcher) enter(out *ec2.RunInstancesOutput) []fleet.Instance {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []fleet.Instance
	for _, inst := range out.Instances {
		m := instanceOf(inst)
		l.fresh[m.ID], l.alive[m.ID] = m, m.Name
		all = append(all, m)
	}
	return all
}

// request is the call that launches the names.
func (l *Launcher) request(names []string, a attempt, token string) *ec2.RunInstancesInput {
	c := l.config
	in := &ec2.RunInstancesInput{
		MinCount: aws.Int32(int32(a.least)), MaxCount: aws.Int32(int32(len(names))),
		ClientToken:      aws.String(token),
		UserData:         aws.String(base64.StdEncoding.EncodeToString([]byte(c.Boot.script(c.Fleet, names)))),
		LaunchTemplate:   launchTemplate(c.Template),
		ImageId:          given(c.Image),
		InstanceType:     types.InstanceType(c.Type),
		KeyName:          given(c.Key),
		SecurityGroupIds: c.SecurityGroups,
		SubnetId:         given(a.subnet),
		// A machine that shuts down by itself is gone, and costs nothing more.
		InstanceInitiatedShutdownBehavior: types.ShutdownBehaviorTerminate,
		// Only requests that carry a session token get at the machine's credentials, and only from the machine itself.
		MetadataOptions: &types.InstanceMetadataOptionsRequest{
			HttpTokens: types.HttpTokensStateRequired, HttpPutResponseHopLimit: aws.Int32(1), HttpEndpoint: types.InstanceMetadataEndpointStateEnabled,
		},
		TagSpecifications: l.tags(names),
	}
	if c.Profile != "" {
		in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Name: aws.String(c.Profile)}
		if strings.HasPrefix(c.Profile, "arn:") {
			in.IamInstanceProfile = &types.IamInstanceProfileSpecification{Arn: aws.String(c.Profile)}
		}
	}
	if a.spot {
		in.InstanceMarketOptions = &types.InstanceMarketOptionsRequest{
			MarketType: types.MarketTypeSpot,
			SpotOptions: &types.SpotMarketOptions{
				SpotInstanceType:             types.SpotInstanceTypeOneTime,
				InstanceInterruptionBehavior: types.InstanceInterruptionBehaviorTerminate,
			},
		}
	}
	return in
}

// launchTemplate reads "NAME", "lt-ID", and either with ":VERSION".
func launchTemplate(text string) *types.LaunchTemplateSpecification {
	if text == "" {
		return nil
	}
	name, version, _ := strings.Cut(text, ":")
	spec := &types.LaunchTemplateSpecification{Version: given(version)}
	if strings.HasPrefix(name, "lt-") {
		spec.LaunchTemplateId = aws.String(name)
	} else {
		spec.LaunchTemplateName = aws.String(name)
	}
	return spec
}

// tags are those of the instances and of their disks, which are thus seen to be of the fleet in a bill.
func (l *Launcher) tags(names []string) []types.TagSpecification {
	ours := []types.Tag{tag("Name", l.config.Fleet+"-worker"), tag(fleetTag, l.config.Fleet)}
	if l.config.Version != "" {
		ours = append(ours, tag(versionTag, l.config.Version))
	}
	machine := slices.Clone(ours)
	for i, part := range joinNames(names) {
		machine = append(machine, tag(namesTag+strconv.Itoa(i+1), part))
	}
	return []types.TagSpecification{
		{ResourceType: types.ResourceTypeInstance, Tags: machine},
		{ResourceType: types.ResourceTypeVolume, Tags: ours},
	}
}

func tag(key, value string) types.Tag {
	return types.Tag{Key: aws.String(key), Value: aws.String(value)}
}

// given is nil for what was not given, which leaves it to the launch template.
func given(s string) *string {
	if s == "" {
		return nil
	}
	return aws.String(s)
}

// tagMax is how many characters the value of a tag may have.
const tagMax = 256

// joinNames puts the names, in order, into as few values of tags as they fit in.
func joinNames(names []string) []string {
	var parts []string
	for _, name := range names {
		last := len(parts) - 1
		if last < 0 || len(parts[last])+1+len(name) > tagMax {
			parts = append(parts, name)
			continue
		}
		parts[last] += " " + name
	}
	return parts
}

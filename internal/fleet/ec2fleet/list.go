package ec2fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/ocelli/ocelli/internal/fleet"
)

// lag is how long EC2 may take to list an instance that it has launched; one that does not appear at all has ended. The calls are
// eventually consistent (https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html).
const lag = 2 * time.Minute

// aliveStates are those of an instance that costs money or still holds images. A stopped one keeps its disk, and can only have been
// stopped by hand.
var aliveStates = []string{"pending", "running", "shutting-down", "stopping", "stopped"}

// instanceOf reads a description. An instance whose name cannot be told, since it has the tag of the fleet from somebody else, is
// called by its id: whoever looks after the fleet ends it when it stays silent.
func instanceOf(inst types.Instance) fleet.Instance {
	id := aws.ToString(inst.InstanceId)
	m := fleet.Instance{Name: id, ID: id, Launched: aws.ToTime(inst.LaunchTime)}
	var names []string
	for part := 1; ; part++ {
		value, ok := tagValue(inst.Tags, namesTag+strconv.Itoa(part))
		if !ok {
			break
		}
		names = append(names, strings.Fields(value)...)
	}
	index := int(aws.ToInt32(inst.AmiLaunchIndex))
	if index >= 0 && index < len(names) && fleet.CheckName(names[index]) == nil {
		m.Name = names[index]
	}
	if inst.State != nil {
		m.Ending = inst.State.Name == types.InstanceStateNameShuttingDown
	}
	return m
}

func tagValue(tags []types.Tag, key string) (string, bool) {
	for _, t := range tags {
		if aws.ToString(t.Key) == key {
			return aws.ToString(t.Value), true
		}
	}
	return "", false
}

// List returns the instances that are not terminated. One that shuts down is still listed: its
// worker may be finishing what it holds.
func (l *Launcher) List(ctx context.Context) ([]fleet.Instance, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("list workers: %w", err)
	}
	machines, err := l.machines(ctx)
	if err != nil {
		return nil, err
	}
	all := make([]fleet.Instance, 0, len(machines))
	var twice []string
	for i, m := range machines {
		if i > 0 && machines[i-1].Name == m.Name {
			if !m.Ending {
				twice = append(twice, m.ID)
			}
			continue
		}
		all = append(all, m)
	}
	if err := l.end(ctx, twice, false); err != nil {
		return nil, err
	}
	if err := l.tellExits(ctx, all); err != nil {
		return nil, err
	}
	return all, nil
}

// machines returns all instances alive by name; of those with one name the oldest that stays comes first.
func (l *Launcher) machines(ctx context.Context) ([]fleet.Instance, error) {
	described, err := l.describe(ctx,
		filter("tag:"+fleetTag, l.config.Fleet), filter("instance-state-name", aliveStates...))
	if err != nil {
		return nil, err
	}
	var all []fleet.Instance
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, inst := range described {
		m := instanceOf(inst)
		all = append(all, m)
		delete(l.fresh, m.ID)
	}
	for id, m := range l.fresh {
		if time.Since(m.Launched) > lag {
			delete(l.fresh, id)
			continue
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b fleet.Instance) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), compareBool(a.Ending, b.Ending), a.Launched.Compare(b.Launched), cmp.Compare(a.ID, b.ID))
	})
	return all, nil
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	default:
		return 1
	}
}

// describe returns all instances that pass the filters. It turns the pages itself; see the package comment.
func (l *Launcher) describe(ctx context.Context, filters ...types.Filter) ([]types.Instance, error) {
	in := &ec2.DescribeInstancesInput{Filters: filters, MaxResults: aws.Int32(1000)}
	var all []types.Instance
	for {
		out, err := l.calls.describe(ctx, in)
		if err != nil {
			return nil, explain(ctx, "list the workers on EC2", err)
		}
		for _, r := range out.Reservations {
			all = append(all, r.Instances...)
		}
		if aws.ToString(out.NextToken) == "" {
			return all, nil
		}
		in.NextToken = out.NextToken
	}
}

func filter(name string, values ...string) types.Filter {
	return types.Filter{Name: aws.String(name), Values: values}
}

// tellExits asks why instances that were listed last time have ended, and sends it.
func (l *Launcher) tellExits(ctx context.Context, all []fleet.Instance) error {
	l.mu.Lock()
	before := l.alive
	l.alive = map[string]string{}
	for _, inst := range all {
		l.alive[inst.ID] = inst.Name
	}
	var gone []string
	for id := range before {
		if _, lives := l.alive[id]; !lives {
			gone = append(gone, id)
		}
	}
	l.mu.Unlock()
	for ids := range slices.Chunk(gone, 200) { // a filter takes so many values
		ended, err := l.describe(ctx, filter("instance-id", ids...))
		if err != nil {
			return err
		}
		for _, inst := range ended {
			id := aws.ToString(inst.InstanceId)
			if inst.State == nil || inst.State.Name != types.InstanceStateNameTerminated {
				continue // EC2's list had a gap
			}
			select {
			case l.exits <- fleet.Exit{Name: before[id], ID: id, How: reason(inst)}:
			default:
			}
		}
	}
	return nil
}

// reason is why EC2 says that an instance ended, "" for one whose worker had nothing more to do and ended itself, and for a spot instance
// that was taken back: neither is a fault (https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StateReason.html).
func reason(inst types.Instance) string {
	if inst.StateReason == nil {
		return cmp.Or(aws.ToString(inst.StateTransitionReason), "EC2 gives no reason")
	}
	code, text := aws.ToString(inst.StateReason.Code), aws.ToString(inst.StateReason.Message)
	if code == "Client.InstanceInitiatedShutdown" || strings.HasPrefix(code, "Server.Spot") {
		return ""
	}
	return cmp.Or(strings.TrimPrefix(text, code+": "), code)
}

// Drain shuts the instances down in order.
func (l *Launcher) Drain(ctx context.Context, names ...string) error {
	return l.endNamed(ctx, "drain", names, false)
}

// Terminate ends the instances without a shutdown.
func (l *Launcher) Terminate(ctx context.Context, names ...string) error {
	return l.endNamed(ctx, "terminate", names, true)
}

func (l *Launcher) endNamed(ctx context.Context, verb string, names []string, force bool) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %d workers: %w", verb, len(names), err)
	}
	if len(names) == 0 {
		return nil
	}
	machines, err := l.machines(ctx)
	if err != nil {
		return err
	}
	var ids []string
	for _, m := range machines {
		if slices.Contains(names, m.Name) && (force || !m.Ending) {
			ids = append(ids, m.ID)
		}
	}
	return l.end(ctx, ids, force)
}

// end ends instances by id. A single id that EC2 does not know makes it refuse all, so then each is ended alone.
func (l *Launcher) end(ctx context.Context, ids []string, force bool) error {
	const most = 500
	var errs []error
	for some := range slices.Chunk(ids, most) {
		in := &ec2.TerminateInstancesInput{InstanceIds: some}
		if force {
			in.SkipOsShutdown = aws.Bool(true)
		}
		_, err := l.calls.terminate(ctx, in)
		switch {
		case err == nil:
		case code(err) == "InvalidInstanceID.NotFound" && len(some) > 1:
			for _, id := range some {
				errs = append(errs, l.end(ctx, []string{id}, force))
			}
		case code(err) == "InvalidInstanceID.NotFound" && !l.isFresh(some[0]):
		default:
			errs = append(errs, explain(ctx, "end workers on EC2", err))
		}
	}
	return errors.Join(errs...)
}

// isFresh reports whether EC2 will know the id before long.
func (l *Launcher) isFresh(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, fresh := l.fresh[id]
	return fresh
}

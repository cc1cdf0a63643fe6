// Package ec2test plays the machines of a stand-in for EC2, which only keeps lists: for each instance that the stand-in calls
// running, it executes the instance's user data on this machine, and then runs the service that this has set up, as systemd
// would. So an elastic fleet can be tested with nothing left out but the hardware.
//
// What a script finds on a real instance it finds here too: instance metadata with session tokens (IMDSv2), credentials of a
// role, a launch index, systemctl and systemd-run. Paths of the system are put below a folder of the test.
package ec2test

import (
	"context"
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Machines plays all instances of one stand-in. Its fields are set before [Machines.Run].
type Machines struct {
	Client *ec2.Client
	Dir    string        // empty; each machine has a folder in it
	Fleet  string        // the only one whose instances are played; "" is all instances
	Boot   time.Duration // from the launch until the user data is executed
	Env    []string      // "KEY=value", what the image has in /etc/ocelli/worker.env
	Role   aws.Credentials
	Log    *slog.Logger

	mu      sync.Mutex
	playing map[string]*machine // by instance id
	most    int
	all     sync.WaitGroup
}

// lookEvery is how often the stand-in is asked for its instances.
const lookEvery = 100 * time.Millisecond

// Run plays until ctx ends; then all machines lose their power.
func (m *Machines) Run(ctx context.Context) error {
	m.playing = map[string]*machine{}
	defer m.all.Wait()
	for {
		if err := m.look(ctx); err != nil && ctx.Err() == nil {
			m.Log.Warn("the stand-in for EC2 does not answer", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(lookEvery):
		}
	}
}

// look starts machines for new instances and ends those whose instance is terminated.
func (m *Machines) look(ctx context.Context) error {
	running, err := m.running(ctx)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.most = max(m.most, len(running))
	for id, p := range m.playing {
		if _, runs := running[id]; !runs {
			p.shutDown()
			delete(m.playing, id)
		}
	}
	for id, inst := range running {
		if m.playing[id] != nil {
			continue
		}
		dir := filepath.Join(m.Dir, id)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		p := &machine{owner: m, id: id, dir: dir, index: int(aws.ToInt32(inst.AmiLaunchIndex)), off: make(chan struct{})}
		m.playing[id] = p
		m.all.Go(func() { p.live(ctx) })
	}
	return nil
}

func (m *Machines) running(ctx context.Context) (map[string]types.Instance, error) {
	found := map[string]types.Instance{}
	filters := []types.Filter{{Name: aws.String("instance-state-name"), Values: []string{"running"}}}
	if m.Fleet != "" {
		filters = append(filters, types.Filter{Name: aws.String("tag:ocelli:fleet"), Values: []string{m.Fleet}})
	}
	pages := ec2.NewDescribeInstancesPaginator(m.Client, &ec2.DescribeInstancesInput{Filters: filters})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, r := range page.Reservations {
			for _, inst := range r.Instances {
				found[aws.ToString(inst.InstanceId)] = inst
			}
		}
	}
	return found, nil
}

// Running counts the instances that run.
func (m *Machines) Running(ctx context.Context) (int, error) {
	running, err := m.running(ctx)
	return len(running), err
}

// Most returns how many instances were running at once, at most.
func (m *Machines) Most() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.most
}

// TakeBack announces to all instances that run now that EC2 takes them back.
func (m *Machines) TakeBack() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.playing {
		p.notice.Store(true)
	}
}

// userData returns the script that the instance was launched with.
func (m *Machines) userData(ctx context.Context, id string) ([]byte, error) {
	out, err := m.Client.DescribeInstanceAttribute(ctx, &ec2.DescribeInstanceAttributeInput{
		InstanceId: aws.String(id), Attribute: types.InstanceAttributeNameUserData,
	})
	if err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(aws.ToString(out.UserData.Value))
}

// terminate tells the stand-in that the instance has shut itself down.
func (m *Machines) terminate(ctx context.Context, id string) {
	if _, err := m.Client.TerminateInstances(ctx, &ec2.TerminateInstancesInput{InstanceIds: []string{id}}); err != nil && ctx.Err() == nil {
		m.Log.Error("an instance could not be ended", "id", id, "err", err)
	}
}

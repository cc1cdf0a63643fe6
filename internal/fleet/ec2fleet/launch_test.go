package ec2fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
)

// account is a small EC2 whose answers a test can bend: it keeps the promise of client tokens, which stand-ins do not, and can lag
// behind, lose answers and run out of machines.
type account struct {
	all     []types.Instance
	byToken map[string]*ec2.RunInstancesOutput
	asked   []*ec2.RunInstancesInput
	ended   []string

	room   func(in *ec2.RunInstancesInput) (int, error) // how many of a request can be had; nil is all
	lost   int                                          // answers to RunInstances that get lost, after it happened
	hidden int                                          // of the newest instances, those that DescribeInstances does not list yet
	page   int                                          // instances of one page; 0 is all
}

func newAccount() *account { return &account{byToken: map[string]*ec2.RunInstancesOutput{}} }

func (a *account) launcher(change func(*Config)) *Launcher {
	c := Config{Fleet: "f", Image: "ami-1", Type: "c5.large", Boot: Boot{Binary: "https://example.com/o", SHA256: strings.Repeat("0", 64), MaxLife: time.Hour}}
	if change != nil {
		change(&c)
	}
	return newLauncher(c, calls{run: a.run, describe: a.describe, terminate: a.terminate})
}

func refusal(code string) error { return &smithy.GenericAPIError{Code: code, Message: "no"} }

func (a *account) run(_ context.Context, in *ec2.RunInstancesInput) (*ec2.RunInstancesOutput, error) {
	a.asked = append(a.asked, in)
	token := aws.ToString(in.ClientToken)
	out := a.byToken[token]
	if out == nil {
		n := int(*in.MaxCount)
		if a.room != nil {
			room, err := a.room(in)
			if err != nil {
				return nil, err
			}
			n = min(n, room)
		}
		if n < int(*in.MinCount) {
			return nil, refusal("InsufficientInstanceCapacity")
		}
		out = &ec2.RunInstancesOutput{}
		for i := range n {
			out.Instances = append(out.Instances, types.Instance{
				InstanceId: aws.String(fmt.Sprintf("i-%d", len(a.all)+i+1)), AmiLaunchIndex: aws.Int32(int32(i)),
				LaunchTime: aws.Time(time.Now()), Tags: in.TagSpecifications[0].Tags,
				State: &types.InstanceState{Name: types.InstanceStateNameRunning},
			})
		}
		a.all = append(a.all, out.Instances...)
		a.byToken[token] = out
	}
	if a.lost > 0 {
		a.lost--
		return nil, errors.New("connection reset by peer")
	}
	return out, nil
}

func (a *account) describe(_ context.Context, in *ec2.DescribeInstancesInput) (*ec2.DescribeInstancesOutput, error) {
	var listed []types.Instance
	for _, inst := range a.all[:len(a.all)-min(a.hidden, len(a.all))] {
		wanted := true
		for _, f := range in.Filters {
			switch *f.Name {
			case "instance-state-name":
				wanted = wanted && slices.Contains(f.Values, string(inst.State.Name))
			case "instance-id":
				wanted = wanted && slices.Contains(f.Values, *inst.InstanceId)
			}
		}
		if wanted {
			listed = append(listed, inst)
		}
	}
	from := 0
	if in.NextToken != nil {
		fmt.Sscan(*in.NextToken, &from)
	}
	out := &ec2.DescribeInstancesOutput{}
	for i, inst := range listed[from:] {
		if a.page > 0 && i == a.page {
			out.NextToken = aws.String(fmt.Sprint(from + i))
			break
		}
		out.Reservations = append(out.Reservations, types.Reservation{Instances: []types.Instance{inst}})
	}
	return out, nil
}

func (a *account) terminate(_ context.Context, in *ec2.TerminateInstancesInput) (*ec2.TerminateInstancesOutput, error) {
	for _, id := range in.InstanceIds {
		if !slices.ContainsFunc(a.all, func(inst types.Instance) bool { return *inst.InstanceId == id }) {
			return nil, refusal("InvalidInstanceID.NotFound")
		}
	}
	for i := range a.all {
		if slices.Contains(in.InstanceIds, *a.all[i].InstanceId) {
			a.all[i].State = &types.InstanceState{Name: types.InstanceStateNameTerminated}
			a.ended = append(a.ended, *a.all[i].InstanceId)
		}
	}
	return &ec2.TerminateInstancesOutput{}, nil
}

func names(n int) []string {
	var all []string
	for i := range n {
		all = append(all, fmt.Sprintf("ocelli-worker-%d", i+1))
	}
	return all
}

func TestNineteenWorkersAreOneCall(t *testing.T) {
	a := newAccount()
	l := a.launcher(nil)
	launched, err := l.Launch(t.Context(), names(19)...)
	if err != nil || len(launched) != 19 || len(a.asked) != 1 {
		t.Fatalf("%d launched in %d calls: %v", len(launched), len(a.asked), err)
	}
	for i, inst := range launched {
		if want := fmt.Sprintf("ocelli-worker-%d", i+1); inst.Name != want || inst.ID != fmt.Sprintf("i-%d", i+1) {
			t.Errorf("at place %d is %v, want %s", i, inst, want)
		}
	}
}

func TestALaunchWhoseAnswerWasLostIsNotDoneTwice(t *testing.T) {
	a := newAccount()
	a.lost, a.hidden = 1, 3
	l := a.launcher(nil)
	if _, err := l.Launch(t.Context(), names(3)...); err == nil {
		t.Fatal("no error of the lost answer")
	}
	launched, err := l.Launch(t.Context(), names(3)...) // EC2 does not list them yet
	if err != nil || len(launched) != 3 || len(a.all) != 3 {
		t.Errorf("%d launched, %d instances: %v", len(launched), len(a.all), err)
	}
	if *a.asked[0].ClientToken != *a.asked[1].ClientToken {
		t.Error("the repetition has another token")
	}
}

func TestANameThatWasUsedBeforeIsANewLaunch(t *testing.T) {
	a := newAccount()
	l := a.launcher(nil)
	for range 2 {
		if _, err := l.Launch(t.Context(), "w-1"); err != nil {
			t.Fatal(err)
		}
		if err := l.Terminate(t.Context(), "w-1"); err != nil {
			t.Fatal(err)
		}
	}
	if len(a.all) != 2 {
		t.Errorf("%d instances were launched, want 2", len(a.all))
	}
}

func TestWhatEC2DoesNotListYetIsListed(t *testing.T) {
	a := newAccount()
	a.hidden = 2
	l := a.launcher(nil)
	if _, err := l.Launch(t.Context(), "w-1", "w-2"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Launch(t.Context(), "w-1", "w-2"); err != nil || len(a.all) != 2 {
		t.Errorf("%d instances after a repeated launch: %v", len(a.all), err)
	}
	if all, err := l.List(t.Context()); err != nil || len(all) != 2 {
		t.Errorf("List: %v, %v", all, err)
	}
}

func TestOfTwoInstancesWithOneNameTheYoungerIsEnded(t *testing.T) {
	a := newAccount()
	first, second := a.launcher(nil), a.launcher(nil)
	if _, err := first.Launch(t.Context(), "w-1", "w-2"); err != nil {
		t.Fatal(err)
	}
	seen := a.hidden
	a.hidden = 2 // the other controller does not see them yet
	if _, err := second.Launch(t.Context(), "w-2", "w-3"); err != nil {
		t.Fatal(err)
	}
	a.hidden = seen
	all, err := second.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, inst := range all {
		got = append(got, inst.Name+" "+inst.ID)
	}
	if diff := cmp.Diff([]string{"w-1 i-1", "w-2 i-2", "w-3 i-4"}, got); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}
	if !slices.Equal(a.ended, []string{"i-3"}) {
		t.Errorf("ended %v, want the younger w-2, i-3", a.ended)
	}
}

func TestScarceMachinesAreTakenWhereTheyAre(t *testing.T) {
	a := newAccount()
	have := map[string]int{"subnet-a spot": 1, "subnet-b spot": 2, "subnet-a": 1, "subnet-b": 9}
	a.room = func(in *ec2.RunInstancesInput) (int, error) {
		pool := *in.SubnetId
		if in.InstanceMarketOptions != nil {
			pool += " spot"
		}
		n := min(have[pool], int(*in.MaxCount))
		if n < int(*in.MinCount) {
			return 0, refusal("InsufficientInstanceCapacity")
		}
		have[pool] -= n
		return n, nil
	}
	l := a.launcher(func(c *Config) { c.Subnets, c.Spot = []string{"subnet-a", "subnet-b"}, true })
	launched, err := l.Launch(t.Context(), names(6)...)
	if err != nil || len(launched) != 6 {
		t.Fatalf("launched %v: %v", launched, err)
	}
	if want := map[string]int{"subnet-a spot": 0, "subnet-b spot": 0, "subnet-a": 1, "subnet-b": 6}; cmp.Diff(want, have) != "" {
		t.Errorf("left are %v, want %v: three spot instances and three of subnet-b", have, want)
	}
	tokens := map[string]bool{}
	for _, in := range a.asked {
		tokens[*in.ClientToken] = true
	}
	if len(tokens) != len(a.asked) {
		t.Errorf("%d attempts have %d tokens", len(a.asked), len(tokens))
	}
}

func TestAPartOfALaunchIsReturnedWithTheReason(t *testing.T) {
	a := newAccount()
	left := 2
	a.room = func(in *ec2.RunInstancesInput) (int, error) {
		n := min(left, int(*in.MaxCount))
		if n < int(*in.MinCount) {
			return 0, refusal("VcpuLimitExceeded")
		}
		left -= n
		return n, nil
	}
	launched, err := a.launcher(nil).Launch(t.Context(), names(5)...)
	if len(launched) != 2 || err == nil || !strings.Contains(err.Error(), "the account's quota of vCPUs is used up") {
		t.Errorf("launched %v: %v", launched, err)
	}
}

func TestNeverAboveTheMaximum(t *testing.T) {
	a := newAccount()
	l := a.launcher(func(c *Config) { c.Max = 19 })
	if _, err := l.Launch(t.Context(), names(15)...); err != nil {
		t.Fatal(err)
	}
	launched, err := l.Launch(t.Context(), names(25)...)
	if len(launched) != 19 || len(a.all) != 19 || err == nil || !strings.Contains(err.Error(), "19 may be at most") {
		t.Errorf("%d launched, %d alive: %v", len(launched), len(a.all), err)
	}
}

func TestHundredsOfInstances(t *testing.T) {
	a := newAccount()
	a.page = 7
	l := a.launcher(nil)
	if launched, err := l.Launch(t.Context(), names(250)...); err != nil || len(launched) != 250 || len(a.asked) != 3 {
		t.Fatalf("%d launched in %d calls: %v", len(launched), len(a.asked), err)
	}
	for _, in := range a.asked {
		if n := len(in.TagSpecifications[0].Tags); n > 50 {
			t.Errorf("%d tags, EC2 takes 50", n)
		}
		for _, tag := range in.TagSpecifications[0].Tags {
			if len(*tag.Value) > 256 {
				t.Errorf("the tag %s has %d characters, EC2 takes 256", *tag.Key, len(*tag.Value))
			}
		}
	}
	if all, err := l.List(t.Context()); err != nil || len(all) != 250 {
		t.Errorf("List has %d: %v", len(all), err)
	}
	if err := l.Drain(t.Context(), names(250)...); err != nil || len(a.ended) != 250 {
		t.Errorf("%d drained: %v", len(a.ended), err)
	}
}

func TestDrainShutsDownInOrderAndTerminateDoesNot(t *testing.T) {
	a := newAccount()
	l := a.launcher(nil)
	var skipped []bool
	l.calls.terminate = func(ctx context.Context, in *ec2.TerminateInstancesInput) (*ec2.TerminateInstancesOutput, error) {
		skipped = append(skipped, aws.ToBool(in.SkipOsShutdown))
		return a.terminate(ctx, in)
	}
	if _, err := l.Launch(t.Context(), "w-1", "w-2"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Drain(t.Context(), "w-1"), l.Terminate(t.Context(), "w-2")); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(skipped, []bool{false, true}) {
		t.Errorf("shutdown skipped: %v, want at the second only", skipped)
	}
}

func TestAnInstanceThatShutsDownIsListedAsEnding(t *testing.T) {
	a := newAccount()
	l := a.launcher(nil)
	if _, err := l.Launch(t.Context(), "w-1", "w-2"); err != nil {
		t.Fatal(err)
	}
	a.all[1].State = &types.InstanceState{Name: types.InstanceStateNameShuttingDown}
	all, err := l.List(t.Context())
	if err != nil || len(all) != 2 || all[0].Ending || !all[1].Ending {
		t.Errorf("List: %+v, %v; want w-2 alone as ending", all, err)
	}
}

// EC2 ends none of a call's instances when it does not know one of them.
func TestAnInstanceThatIsGoneKeepsNoOtherAlive(t *testing.T) {
	a := newAccount()
	l := a.launcher(nil)
	if _, err := l.Launch(t.Context(), "w-1", "w-2"); err != nil {
		t.Fatal(err)
	}
	if err := l.end(t.Context(), []string{"i-1", "i-99", "i-2"}, false); err != nil || len(a.ended) != 2 {
		t.Errorf("ended %v: %v", a.ended, err)
	}
}

func TestEC2sAnswersAreExplained(t *testing.T) {
	for code, want := range map[string]string{
		"InvalidAMIID.NotFound": "the image is not there: check image=", "InvalidAMIID.Malformed": "the image is not there: check image=",
		"UnauthorizedOperation": "permission", "RequestLimitExceeded": "slower", "AuthFailure": "does not accept the credentials",
		"RequestExpired": "clock", "InstanceLimitExceeded": "the account's quota of instances is used up",
	} {
		a := newAccount()
		a.room = func(*ec2.RunInstancesInput) (int, error) { return 0, refusal(code) }
		_, err := a.launcher(nil).Launch(t.Context(), "w-1")
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one line with %q", code, err, want)
		}
	}
}

func TestWhyAnInstanceEnded(t *testing.T) {
	for _, c := range []struct{ code, message, want string }{
		{"Client.InstanceInitiatedShutdown", "Client.InstanceInitiatedShutdown: Instance initiated shutdown", ""},
		{"Server.SpotInstanceTermination", "Server.SpotInstanceTermination: Spot instance termination", ""},
		{"Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown", "User initiated shutdown"},
		{"Server.InternalError", "", "Server.InternalError"},
	} {
		got := reason(types.Instance{StateReason: &types.StateReason{Code: &c.code, Message: &c.message}})
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.code, got, c.want)
		}
	}
	if got := reason(types.Instance{}); got != "EC2 gives no reason" {
		t.Errorf("without a reason: %q", got)
	}
}

package ec2fleet

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/smithy-go"

	"github.com/ocelli/ocelli/internal/awsconn"
)

// code is the code of EC2's answer; "" where there was none, or none that says that the call did nothing: then it may have
// happened. The codes: https://docs.aws.amazon.com/ec2/latest/devguide/errors-overview.html.
func code(err error) string {
	var answer smithy.APIError
	if !errors.As(err, &answer) || answer.ErrorFault() == smithy.FaultServer {
		return ""
	}
	switch answer.ErrorCode() {
	case "InternalError", "InternalFailure", "ServiceUnavailable", "Unavailable":
		return ""
	}
	return answer.ErrorCode()
}

// scarce are the answers that another subnet, or an on-demand instance in place of a spot one, may not get.
var scarce = []string{
	"InsufficientInstanceCapacity", "InsufficientCapacity", "InsufficientHostCapacity", "InsufficientFreeAddressesInSubnet",
	"SpotMaxPriceTooLow", "MaxSpotInstanceCountExceeded", "UnfulfillableCapacity", "VcpuLimitExceeded", "InstanceLimitExceeded",
	"Unsupported", "ReservationCapacityExceeded",
}

// elsewhere reports whether the same launch may succeed in another way.
func elsewhere(err error) bool { return slices.Contains(scarce, code(err)) }

// advice says for the code of an answer what to do. A key that ends in "*" stands for all codes that begin so.
var advice = []struct{ code, text string }{
	{"OptInRequired", "the account is not enabled for EC2 in this region"},
	{"InvalidAMIID.*", "the image is not there: check image= and that it is one of this region"},
	{"InvalidLaunchTemplate*", "the launch template is not there: check template= and that it is one of this region"},
	{"InvalidSubnet*", "a subnet is not there: check subnets= and that they are of this region"},
	{"InvalidGroup.NotFound", "a security group is not there: check security-groups= and that they are of the subnets' network"},
	{"InvalidSecurityGroupID.*", "a security group is not there: check security-groups= and that they are of the subnets' network"},
	{"InvalidKeyPair.NotFound", "the key pair is not there: check key= and that it is one of this region"},
	{"NoSuchEntity", "the instance profile is not there: check profile="},
	{"InvalidIamInstanceProfile*", "the instance profile is not there: check profile="},
	{"VPCIdNotSpecified", "the region has no default network: give subnets="},
	{"VcpuLimitExceeded", "the account's quota of vCPUs is used up: work waits for the instances that run; ask AWS for more, or lower --max-workers"},
	{"InstanceLimitExceeded", "the account's quota of instances is used up: work waits for those that run; ask AWS for more, or lower --max-workers"},
	{"MaxSpotInstanceCountExceeded", "the account's quota of spot instances is used up: work waits for those that run; ask AWS for more, or lower --max-workers"},
	{"Insufficient*", "EC2 has no such instances free; trying again: more subnets, or a more common type, make this rarer"},
	{"OperationNotPermitted", "an instance is protected against termination: take the protection off"},
	{"Unsupported", "EC2 does not offer this in the subnet's zone: choose another type or other subnets"},
}

// explain makes one sentence of an error: what was not possible, what to do, and what EC2 said.
func explain(ctx context.Context, doing string, err error) error {
	got := code(err) // whole: awsconn knows codes without their last part
	for _, a := range advice {
		prefix, open := strings.CutSuffix(a.code, "*")
		if got == a.code || open && strings.HasPrefix(got, prefix) {
			return fmt.Errorf("%s: %s (%w)", doing, a.text, said{err})
		}
	}
	if err = awsconn.Explain(ctx, err); err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// said is an error told by what EC2 said: the SDK's own text begins with the operation, the status and an id.
type said struct{ error }

func (s said) Error() string {
	answer, _ := errors.AsType[smithy.APIError](s.error)
	return strings.TrimRight(fmt.Sprintf("%s: %.300s", answer.ErrorCode(), answer.ErrorMessage()), ". ")
}

func (s said) Unwrap() error { return s.error }

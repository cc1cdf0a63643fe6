package sim

import (
	"fmt"

	"github.com/ocelli/ocelli/internal/scale"
)

// Policies are the names that [Run] knows, in the order in which they are compared.
var Policies = []string{scale.Breakeven, scale.Backlog, "keda", "knative", "knative-1", "aws", "ray", "clairvoyant"}

// scaler is a policy at work: want is called once in a second.
type scaler struct {
	want     func(o observation) (int, string)
	blind    bool // ends workers by number: what the one that is picked is doing does not count
	standing int  // workers that it never goes below, there from the beginning
	free     bool // is billed for nothing but work
}

func newScaler(name string, c Config) (*scaler, error) {
	switch name {
	case scale.Breakeven, scale.Backlog:
		p := c.policy(name)
		if err := p.Validate(); err != nil {
			return nil, err
		}
		return own(p), nil
	case "keda":
		return keda(c), nil
	case "knative":
		return knative(c, 100), nil
	case "knative-1":
		return knative(c, 1), nil
	case "aws":
		return aws(c), nil
	case "ray":
		return ray(c), nil
	case "clairvoyant":
		return clairvoyant(c), nil
	}
	return nil, fmt.Errorf("the policy %q is not known: choose all or one of %v", name, Policies)
}

// own is the loop of the service in small: it measures, calls scale.Decide and hands its memory on.
func own(p scale.Policy) *scaler {
	var (
		arrivals scale.Arrivals
		rate     scale.ServiceRate
		startup  scale.StartupTimes
		last     scale.Memory
	)
	return &scaler{want: func(o observation) (int, string) {
		now := at(o.now)
		arrivals.Observe(now, o.arrived)
		rate.Observe(o.done, o.worked)
		for _, took := range o.came {
			startup.Observe(at(o.now-took), now)
		}
		d := scale.Decide(p, scale.Seen{
			Now: now, Ready: o.ready, Leased: o.leased, Exact: true, Arrived: o.arrived,
			Arrival: arrivals.PerSecond(), Rate: rate.PerSecond(), Startup: startup.Startup(),
			Busy: o.busy, Idle: o.idle, Starting: o.coming, Last: last,
		})
		last = d.Next
		return d.Want, d.Reason
	}}
}

// clairvoyant is a bound that no policy can beat, not a policy: the whole fleet stands ready before each image
// comes, and is paid only for the time in which it works (the idea of a clairvoyant scaler to compare with is
// that of Swayam: Gujarati et al., Middleware 2017).
func clairvoyant(c Config) *scaler {
	return &scaler{standing: c.Max, free: true, want: func(observation) (int, string) { return c.Max, "" }}
}

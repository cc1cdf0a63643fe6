package sim

import "math"

// The policies below follow what the documentation of other systems says, with its defaults. Where a system
// wants a number that only its operator can know, it is given the right one. All count an image
// that waits and one that is worked on alike, except where their own metric leaves one out. None is told the
// start-up time.

// every calls f once in so many seconds and repeats its answer in between.
func every(period float64, f func(o observation) int) func(o observation) (int, string) {
	next, want := 0.0, 0
	return func(o observation) (int, string) {
		if o.now >= next {
			next, want = o.now+period, f(o)
		}
		return want, ""
	}
}

// keda scales a Deployment on the length of an SQS queue: https://keda.sh/docs/latest/scalers/aws-sqs/
// (queueLength 5, messages in flight count) and https://keda.sh/docs/latest/reference/scaledobject-spec/
// (pollingInterval 30 s for the step from none to one, cooldownPeriod 300 s for the step back). Between one
// and the maximum the Horizontal Pod Autoscaler decides each 15 s: ceil(metric ÷ target), a tolerance of 10 %,
// at most double or plus 4 in 15 s, and never below the highest answer of the last 300 s
// (https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/, "Default behavior"). A ReplicaSet
// picks the victims, whatever they are doing (https://github.com/kedacore/keda/issues/6719).
func keda(c Config) *scaler {
	const (
		queueLength   = 5.0
		polling       = 30.0
		cooldown      = 300.0
		sync          = 15.0
		tolerance     = 0.1
		stabilization = 300
	)
	var answers window
	now, poll, hpa, active := 0, 0.0, 0.0, math.Inf(-1)
	return &scaler{blind: true, want: func(o observation) (int, string) {
		length := float64(o.ready + o.leased)
		if o.now >= poll {
			poll = o.now + polling
			switch {
			case length > 0:
				active = o.now
				now = max(now, 1)
			case o.now-active >= cooldown:
				now = 0
			}
		}
		if o.now >= hpa {
			hpa = o.now + sync
			if now > 0 {
				want := now
				if ratio := length / (queueLength * float64(now)); math.Abs(ratio-1) > tolerance {
					want = max(1, int(math.Ceil(length/queueLength)))
				}
				want = min(want, max(2*now, now+4), c.Max)
				answers.add(o.now, float64(want), stabilization)
				now = max(want, min(now, int(answers.max())))
			}
		}
		return now, ""
	}}
}

// knative is the Knative Pod Autoscaler: https://knative.dev/docs/serving/autoscaling/kpa-specific/ and
// https://knative.dev/docs/serving/autoscaling/concurrency/: so many requests in flight per pod, 100 by default
// and 1 where a pod is told to take one at a time, of which 70 % are aimed at; averages over 60 s, and in panic
// over 6 s, which begins when those need twice the ready pods and ends 60 s after; looked at each 2 s; at
// most 1000 times up and half down at once; the last pod goes after the window of 60 s and a grace of 30 s. Pods
// finish their requests before they end.
func knative(c Config, concurrency float64) *scaler {
	const (
		utilization = 0.7
		stable      = 60
		panicking   = 6
		threshold   = 2.0
		grace       = 30.0
		up, down    = 1000.0, 2.0
	)
	target := concurrency * utilization
	var long, short window
	panicUntil, panicPods, zeroSince := math.Inf(-1), 0, math.Inf(1)
	decide := every(2, func(o observation) int {
		ready := float64(max(1, o.busy+o.idle))
		calm := math.Ceil(long.mean() / target)
		quick := math.Ceil(short.mean() / target)
		limit := func(x float64) int {
			return int(min(max(x, math.Floor(ready/down)), math.Ceil(ready*up)))
		}
		if quick/ready >= threshold {
			panicUntil = o.now + stable
		}
		want := limit(calm)
		if o.now < panicUntil {
			panicPods = max(panicPods, limit(quick), o.busy+o.idle)
			want = panicPods
		} else {
			panicPods = 0
		}
		if long.max() > 0 {
			zeroSince = math.Inf(1)
			return max(1, min(want, c.Max))
		}
		zeroSince = min(zeroSince, o.now)
		if o.now-zeroSince >= grace {
			return 0
		}
		return min(1, o.staff())
	})
	return &scaler{want: func(o observation) (int, string) {
		inFlight := float64(o.ready + o.leased)
		long.add(o.now, inFlight, stable)
		short.add(o.now, inFlight, panicking)
		return decide(o)
	}}
}

// aws is an Auto Scaling group with target tracking on the backlog per instance:
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-using-sqs-queue.html: visible messages ÷ instances in
// service, aimed at the acceptable latency, 10 s there, ÷ the time for one message. The metric has a value each
// minute; the alarm to grow needs 3 of them above the target, the one to shrink 15 below nine tenths of it; it
// grows in proportion and shrinks gradually, here by a tenth a minute
// (https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-target-tracking.html; the figures of the alarms:
// https://repost.aws/questions/QUf450, "3 datapoints / 15 datapoints"). Without an instance the metric has no
// value, so one always stands. The group picks the victims.
func aws(c Config) *scaler {
	const (
		latency = 10.0
		minute  = 60.0
		over    = 3
		under   = 15
		slack   = 0.9
	)
	target := latency * c.Rate
	now, high, low := 1, 0, 0
	return &scaler{standing: 1, blind: true, want: every(minute, func(o observation) int {
		metric := float64(o.ready) / float64(max(1, o.busy+o.idle))
		high, low = high+1, low+1
		if metric <= target {
			high = 0
		}
		if metric >= slack*target {
			low = 0
		}
		wanted := min(max(1, int(math.Ceil(float64(o.ready)/target))), c.Max)
		switch {
		case high >= over && wanted > now: // an alarm acts for as long as it lasts
			now = wanted
		case low >= under && wanted < now:
			now = max(wanted, now-(now+9)/10)
		}
		return now
	})}
}

// ray is Ray Serve with autoscaling on: https://docs.ray.io/en/latest/serve/advanced-guides/advanced-autoscaling.html:
// ongoing requests, averaged over 30 s and reported each 10 s, ÷ 2 for each replica; grown after that
// has been so for 30 s and shrunk after 600 s; at least one replica. A replica finishes its requests.
func ray(c Config) *scaler {
	const (
		target    = 2.0
		look      = 30
		interval  = 10.0
		upDelay   = 30.0
		downDelay = 600.0
	)
	var ongoing window
	now, since, direction, reported, next := 1, 0.0, 0, 0.0, 0.0
	return &scaler{standing: 1, want: func(o observation) (int, string) {
		ongoing.add(o.now, float64(o.ready+o.leased), look)
		if o.now >= next {
			next, reported = o.now+interval, ongoing.mean()
		}
		wanted := min(max(1, int(math.Ceil(reported/target))), c.Max)
		way := 0
		if wanted > now {
			way = 1
		} else if wanted < now {
			way = -1
		}
		if way != direction {
			direction, since = way, o.now
		}
		if way > 0 && o.now-since > upDelay || way < 0 && o.now-since > downDelay {
			now, direction = wanted, 0
		}
		return now, ""
	}}
}

// window holds the values of the last seconds.
type window struct{ at, values []float64 }

func (w *window) add(now, value float64, length int) {
	w.at, w.values = append(w.at, now), append(w.values, value)
	for w.at[0] <= now-float64(length) {
		w.at, w.values = w.at[1:], w.values[1:]
	}
}

func (w *window) mean() float64 {
	sum := 0.0
	for _, v := range w.values {
		sum += v
	}
	return sum / float64(max(1, len(w.values)))
}

func (w *window) max() float64 {
	most := 0.0
	for _, v := range w.values {
		most = max(most, v)
	}
	return most
}

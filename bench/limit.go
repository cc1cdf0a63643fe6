package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/classify/onnx"
	"github.com/ocelli/ocelli/internal/decode"
	"github.com/ocelli/ocelli/internal/ortlib"
	"github.com/ocelli/ocelli/models"

	_ "github.com/ocelli/ocelli/internal/slack" // as the service has it
)

// model is a network to measure with.
type model struct {
	key, says string // key is its part of the keys of RESULTS.json
	path      string // "" is the default model
}

// open loads the model as a worker does.
func (m model) open() (*onnx.Model, error) {
	lib, err := ortlib.Find("")
	if err != nil {
		return nil, err
	}
	o := onnx.Options{Path: m.path, Library: lib, TopK: classify.DefaultTop, Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	card := strings.TrimSuffix(m.path, ".onnx") + ".json"
	if m.path != "" {
		if o.Card, err = classify.ReadCard(card); err != nil {
			return nil, err
		}
		return onnx.Open(o)
	}
	o.Path, o.Data = models.Name+".onnx", models.Default
	text, err := models.Files.ReadFile(models.Name + ".json")
	if err != nil {
		return nil, err
	}
	if o.Card, err = classify.ParseCard(text); err != nil {
		return nil, err
	}
	return onnx.Open(o)
}

// args are how the service is told to use the model.
func (m model) args() []string {
	if m.path == "" {
		return nil
	}
	return []string{"--model", m.path}
}

// senders is how many connections are kept busy where the network counts: while one sends its next job, those of the others wait.
const senders = 4

// pace is how fast images were done.
type pace struct {
	rate float64 // images per second
	cpu  float64 // milliseconds of processor time for each
}

func paceOf(images int, took, cpu time.Duration) pace {
	return pace{float64(images) / took.Seconds(), ms(cpu) / float64(images)}
}

// limit is what one process can do with the pictures: as many goroutines as there are cores, each of which takes one picture from its
// bytes to its labels, with no queue, store or network between.
func limit(ctx context.Context, m *onnx.Model, pictures [][]byte, images int) (pace, error) {
	decoder := decode.New(decode.Limits{})
	var next atomic.Int64
	var all sync.WaitGroup
	errs := make(chan error, runtime.NumCPU())
	began, cpu := time.Now(), ownCPU()
	for range runtime.NumCPU() {
		all.Go(func() {
			for i := next.Add(1); i <= int64(images); i = next.Add(1) {
				picture, err := decoder.Decode(ctx, pictures[int(i)%len(pictures)], m.ShortSide())
				if err == nil {
					_, err = m.Classify(ctx, picture.Pixels)
					picture.Release()
				}
				if err != nil {
					errs <- err
					return
				}
			}
		})
	}
	all.Wait()
	took := time.Since(began)
	select {
	case err := <-errs:
		return pace{}, err
	default:
	}
	return paceOf(images, took, ownCPU()-cpu), nil
}

// ownCPU is the processor time that this process has taken.
func ownCPU() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		panic(err) // it cannot fail with these arguments
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// models are those that the service is measured with.
func (b *bench) models() ([]model, error) {
	mobile, err := mobileNetV2(false).save(b.dir, "mobilenet")
	if err != nil {
		return nil, err
	}
	res, err := resNet18().save(b.dir, "resnet18")
	if err != nil {
		return nil, err
	}
	return []model{
		{"default", "the default model", ""},
		{"mobilenet", "MobileNetV2's layers, float32", mobile},
		{"resnet18", "ResNet-18's layers, float32", res},
	}, nil
}

// photos are pictures of 500 × 375: those of the folder that was given, or painted ones.
func (b *bench) photos() ([][]byte, error) {
	if b.photoDir == "" {
		return painted(20, 500, 375), nil
	}
	names, err := filepath.Glob(filepath.Join(b.photoDir, "*.jpg"))
	if err != nil || len(names) == 0 {
		return nil, fmt.Errorf("there is no .jpg in %s", b.photoDir)
	}
	var all [][]byte
	for _, name := range names[:min(len(names), 100)] {
		body, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, body)
	}
	return all, nil
}

// serviceOverLimit compares the service in steady state with the limit, in turns, for each model.
func (b *bench) serviceOverLimit(ctx context.Context) error {
	pictures, err := b.photos()
	if err != nil {
		return err
	}
	all, err := b.models()
	if err != nil {
		return err
	}
	t := b.table("Service ÷ limit", fmt.Sprintf("The same photos through HTTP, the durable queue, worker processes and back, in jobs of 100 over %d connections that are kept busy, against ", senders)+
		"one process that only decodes and infers on all cores. Processor time is that of the service and its workers, without who sends.",
		"network", "limit, images/s", "service, images/s", "service ÷ limit", "processor, ms per image: limit", "service", "limit ÷ service")
	for _, m := range all {
		var limits, services, ratios, limitCPU, serviceCPU, cpuRatios []float64
		for range b.rounds {
			l, s, err := b.pair(ctx, m, pictures)
			if err != nil {
				return fmt.Errorf("%s: %w", m.says, err)
			}
			limits, services, ratios = append(limits, l.rate), append(services, s.rate), append(ratios, s.rate/l.rate)
			limitCPU, serviceCPU, cpuRatios = append(limitCPU, l.cpu), append(serviceCPU, s.cpu), append(cpuRatios, l.cpu/s.cpu)
			b.say("%s: limit %.0f, service %.0f images/s: %.2f; processor %.1f and %.1f ms: %.2f", m.says, l.rate, s.rate, s.rate/l.rate, l.cpu, s.cpu, l.cpu/s.cpu)
		}
		t.row(m.says, spread(limits, "%.0f"), spread(services, "%.0f"), spread(ratios, "%.2f"), spread(limitCPU, "%.1f"), spread(serviceCPU, "%.1f"), spread(cpuRatios, "%.2f"))
		b.result("service_over_limit_"+m.key, median(ratios))
	}
	return nil
}

// pair measures the limit before and after the service, so that a machine that changes its pace harms both alike.
func (b *bench) pair(ctx context.Context, m model, pictures [][]byte) (atLimit, atService pace, err error) {
	before, err := b.atLimit(ctx, m, pictures)
	if err != nil {
		return pace{}, pace{}, err
	}
	if atService, err = b.atService(ctx, m, pictures); err != nil {
		return pace{}, pace{}, err
	}
	after, err := b.atLimit(ctx, m, pictures)
	return pace{(before.rate + after.rate) / 2, (before.cpu + after.cpu) / 2}, atService, err
}

func (b *bench) atLimit(ctx context.Context, m model, pictures [][]byte) (pace, error) {
	classifier, err := m.open()
	if err != nil {
		return pace{}, err
	}
	defer classifier.Close()
	if _, err := limit(ctx, classifier, pictures, 20); err != nil { // warm
		return pace{}, err
	}
	p, err := limit(ctx, classifier, pictures, 50)
	if err != nil {
		return pace{}, err
	}
	return limit(ctx, classifier, pictures, int(p.rate*b.seconds/2)+1)
}

func (b *bench) atService(ctx context.Context, m model, pictures [][]byte) (pace, error) {
	s, _, err := b.start(ctx, m.args()...)
	if err != nil {
		return pace{}, err
	}
	defer s.stop()
	return b.inSteadyState(ctx, s, jobOf(pictures, 100), senders, 2*time.Second) // in which the fleet grows
}

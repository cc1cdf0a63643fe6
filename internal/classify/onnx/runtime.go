package onnx

import (
	"fmt"
	"regexp"
	"strings"
	"sync"

	ort "github.com/yalue/onnxruntime_go"
)

// ONNX Runtime is loaded once in a process and never let go: its state is global, and sessions of any model use it.
var loaded struct {
	sync.Mutex
	library string // that was loaded
}

// load makes sure that the shared library is loaded. A process has one: a second library is refused.
func load(library string) error {
	loaded.Lock()
	defer loaded.Unlock()
	if loaded.library != "" {
		if loaded.library != library {
			return fmt.Errorf("ONNX Runtime is already loaded from %s, and a process has one: start another process for %s", loaded.library, library)
		}
		return nil
	}
	ort.SetSharedLibraryPath(library)
	// What ONNX Runtime would log below this level goes to the standard error of the process, past any logger.
	if err := ort.InitializeEnvironment(ort.WithLogLevelFatal()); err != nil {
		return fmt.Errorf("ONNX Runtime cannot be loaded from %s: name another with OCELLI_ONNXRUNTIME=/path/to/libonnxruntime.so (%w)", library, tidy(err))
	}
	loaded.library = library
	return nil
}

// ortError is an error of ONNX Runtime as one line.
type ortError struct {
	line string
	err  error
}

func (e *ortError) Error() string { return e.line }
func (e *ortError) Unwrap() error { return e.err }

// origin is what stands before an error of ONNX Runtime: what was done, where in its source, and in which function.
var origin = regexp.MustCompile(`^Error [a-zA-Z ]+: (/\S+\.(cc|h):\d+ .*?\) )?`)

// tidy makes one line of an error of ONNX Runtime, without its origin.
func tidy(err error) error {
	line, _, _ := strings.Cut(strings.TrimSpace(err.Error()), "\n")
	line = origin.ReplaceAllString(line, "")
	if len(line) > 300 {
		line = line[:300] + "…"
	}
	return &ortError{line, err}
}

// sessionOptions returns options for a session that any number of goroutines call at once: each call runs on its own
// thread and no pool spins beside it, which is the fastest on a CPU and the simplest. The caller destroys them.
func sessionOptions(fixedShape bool) (*ort.SessionOptions, error) {
	o, err := ort.NewSessionOptions()
	if err != nil {
		return nil, err
	}
	set := []func() error{
		func() error { return o.SetIntraOpNumThreads(1) },
		func() error { return o.SetInterOpNumThreads(1) },
		func() error { return o.AddSessionConfigEntry("session.intra_op.allow_spinning", "0") },
		func() error { return o.AddSessionConfigEntry("session.inter_op.allow_spinning", "0") },
		// Pictures of their own size would leave an arena that is as large as the largest of them needed.
		func() error { return o.SetCpuMemArena(fixedShape) },
		func() error { return o.SetMemPattern(fixedShape) },
	}
	for _, f := range set {
		if err := f(); err != nil {
			o.Destroy()
			return nil, tidy(err)
		}
	}
	return o, nil
}

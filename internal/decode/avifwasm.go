package decode

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"time"
	_ "unsafe" // for go:linkname

	_ "github.com/gen2brain/avif" // libavif and libaom as a WebAssembly module
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
)

// AVIF is decoded by libavif and libaom, compiled to WebAssembly by github.com/gen2brain/avif. That package's own
// functions are not used: they bound neither memory nor time, pass over errors of the decoder as if
// there were pixels, and use a libavif of the system where one is found (never built in with -tags nodynamic). Its
// module is run here instead, with limits.

//go:linkname avifModule github.com/gen2brain/avif.decodeWasm
var avifModule []byte

// avifTime bounds the time for decoding an AVIF, at thirty times what an idle core takes. The module was compiled without
// longjmp, by which libaom leaves off at an error, so that it may go on for ever.
func avifTime(width, height int) time.Duration {
	return 5*time.Second + time.Duration(width*height)*10*time.Microsecond
}

// sandbox is the module, compiled to machine code. That takes a third of a second, and is done for the first AVIF.
type sandbox struct {
	runtime wazero.Runtime
	module  wazero.CompiledModule
}

var avifSandbox = sync.OnceValues(func() (sandbox, error) {
	ctx := context.Background()
	z, err := gzip.NewReader(bytes.NewReader(avifModule))
	if err != nil {
		return sandbox{}, fmt.Errorf("unpack the AVIF module: %w", err)
	}
	code, err := io.ReadAll(z)
	if err != nil {
		return sandbox{}, fmt.Errorf("unpack the AVIF module: %w", err)
	}
	r := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithCloseOnContextDone(true))
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r); err != nil {
		return sandbox{}, fmt.Errorf("prepare the AVIF module: %w", err)
	}
	m, err := r.CompileModule(ctx, code)
	if err != nil {
		return sandbox{}, fmt.Errorf("compile the AVIF module: %w", err)
	}
	return sandbox{r, m}, nil
})

// decodeAVIF decodes in a sandbox of its own with the given bytes of memory.
func decodeAVIF(ctx context.Context, data []byte, width, height, w, h int, memory int64) ([]byte, error) {
	s, err := avifSandbox()
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, avifTime(width, height))
	defer cancel()
	limited = experimental.WithMemoryAllocator(limited, experimental.MemoryAllocatorFunc(func(_, _ uint64) experimental.LinearMemory {
		return &linearMemory{limit: uint64(memory)}
	}))
	m, err := s.runtime.InstantiateModule(limited, s.module, wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize"))
	if err != nil {
		return nil, fmt.Errorf("start the AVIF module: %w", err)
	}
	defer m.Close(context.WithoutCancel(ctx))
	r, err := avifRows(limited, m, data, width, height)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && limited.Err() != nil:
		return nil, fmt.Errorf("it takes longer than %v", avifTime(width, height))
	case err != nil:
		return nil, err
	}
	return r.average(limited, w, h)
}

// avifRows runs the module on data and returns the rows of the picture, which stay in the module's memory.
func avifRows(ctx context.Context, m api.Module, data []byte, width, height int) (rows, error) {
	alloc := func(n int) (uint64, error) {
		if n > math.MaxInt32 {
			return 0, errSandboxFull
		}
		res, err := m.ExportedFunction("malloc").Call(ctx, uint64(n))
		if err != nil || len(res) != 1 || res[0] == 0 {
			return 0, errSandboxFull
		}
		return res[0], nil
	}
	in, err := alloc(len(data))
	if err != nil {
		return rows{}, err
	}
	said, err := alloc(24) // width, height, depth, count: 32 bits each; duration: 64 bits
	if err != nil {
		return rows{}, err
	}
	m.Memory().Write(uint32(in), data)
	run := func(headerOnly, out uint64) error {
		res, err := m.ExportedFunction("decode").Call(ctx, in, uint64(len(data)), headerOnly, 0, said, said+4, said+8, said+12, said+16, out)
		if err != nil || len(res) != 1 || res[0] == 0 {
			return errAVIF // err is a stack trace of the module
		}
		return nil
	}
	if err := run(1, 0); err != nil {
		return rows{}, err
	}
	word := func(i uint64) int {
		v, _ := m.Memory().ReadUint32Le(uint32(said + 4*i))
		return int(v)
	}
	if word(0) != width || word(1) != height {
		return rows{}, errSizes
	}
	size := 1 // bytes of a channel
	if word(2) > 8 {
		size = 2
	}
	out, err := alloc(width * height * 4 * size)
	if err != nil {
		return rows{}, err
	}
	// The module answers "done" where no picture came out; only then is the duration left alone.
	m.Memory().WriteUint64Le(uint32(said+16), math.MaxUint64)
	if err := run(0, out); err != nil {
		return rows{}, err
	}
	if v, _ := m.Memory().ReadUint64Le(uint32(said + 16)); v == math.MaxUint64 {
		return rows{}, errAVIF
	}
	pix, ok := m.Memory().Read(uint32(out), uint32(width*height*4*size))
	if !ok {
		return rows{}, errSandboxFull
	}
	return rows{width, height, premultipliedRows(pix, width*4*size, size, size-1)}, nil
}

var (
	errAVIF        = errors.New("its data are cut short, wrong, or of an unusual kind")
	errSandboxFull = errors.New("it takes more memory than its size tells")
)

// linearMemory is the memory of a module.
type linearMemory struct {
	limit uint64
	bytes []byte
}

// Reallocate implements [experimental.LinearMemory].
func (l *linearMemory) Reallocate(size uint64) []byte {
	if size > l.limit {
		return nil
	}
	if l.bytes == nil {
		l.bytes = make([]byte, l.limit) // at once, so that growing needs no second copy
	}
	return l.bytes[:size]
}

// Free implements [experimental.LinearMemory].
func (l *linearMemory) Free() { l.bytes = nil }

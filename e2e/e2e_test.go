// Package e2e holds stories about the real binary: each file in testdata is one, in the language of testscript
// (https://pkg.go.dev/github.com/rogpeppe/go-internal/testscript) with the commands of commands_test.go.
package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// binary is the program under test, built once for all stories.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "ocelli-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "ocelli")
	build := exec.Command("go", "build", "-o", binary, "../cmd/ocelli")
	build.Stderr = os.Stderr
	code := 1
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "building the binary under test:", err)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

func TestStories(t *testing.T) {
	library, err := filepath.Abs("../.deps/onnxruntime/libonnxruntime.so.1")
	if err != nil {
		t.Fatal(err)
	}
	if named := os.Getenv("OCELLI_ONNXRUNTIME"); named != "" {
		library = named
	}
	docs, err := filepath.Abs("../docs")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(binary)+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("OCELLI_ONNXRUNTIME", library)
			env.Setenv("DOCS", docs)
			env.Setenv("OCELLI_MODEL", os.Getenv("OCELLI_MODEL")) // the stories hold for any model
			env.Setenv("TOOLS", os.Getenv("OCELLI_TEST_TOOLS"))
			env.Values[serviceKey] = &service{binary: binary, fleet: fleet{roles: map[string]*role{}}}
			return nil
		},
		Condition: condition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"pictures":  pictures,
			"up":        up,
			"down":      down,
			"crash":     crash,
			"http":      request,
			"submit":    submit,
			"harass":    harass,
			"finished":  finished,
			"workers":   workers,
			"exits":     exits,
			"big":       big,
			"broker":    broker,
			"start":     start,
			"leads":     leads,
			"signal":    signal,
			"says":      says,
			"observe":   observe,
			"at-most":   atMost,
			"overtakes": overtakes,
			"explained": explained, "doubles": doubles,
			"halfway":  halfway,
			"once":     once,
			"comes":    comes,
			"setjob":   setjob,
			"planted":  planted,
			"plant":    plant,
			"confined": confined,
			"swallow":  swallow,
			"key":      newKey,
			"await":    await,
			"cloud":    startCloud,
			"outage":   outage,
			"settled":  settled,
			"cut":      cut,
			"mend":     mend,
			"inbox":    inbox,
			"files":    files,
			"mended":   mended,

			"machines":      startMachines,
			"machines-left": machinesLeft,
			"take-back":     takeBack,
			"machines-most": machinesMost,

			"profiles": profiles,
			"collect":  collect,
			"traced":   traced,
		},
	})
}

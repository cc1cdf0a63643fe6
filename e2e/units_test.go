package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// systemd takes what it does not understand in a unit without a word to whoever started it.
func TestSystemdUnderstandsTheUnits(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	units, err := filepath.Glob("../deploy/systemd/*.service")
	if err != nil || len(units) < 4 {
		t.Fatalf("found %v: %v", units, err)
	}
	dir := t.TempDir()
	for _, unit := range units {
		text, err := os.ReadFile(unit)
		if err != nil {
			t.Fatal(err)
		}
		here := filepath.Join(dir, filepath.Base(unit))
		if err := os.WriteFile(here, []byte(strings.ReplaceAll(string(text), "/usr/local/bin/ocelli", binary)), 0o644); err != nil {
			t.Fatal(err)
		}
		if said, err := exec.Command(analyze, "verify", "--man=no", here).CombinedOutput(); err != nil || strings.Contains(string(said), here) {
			t.Errorf("%s: %v\n%s", unit, err, said)
		}
	}
}

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// load returns a command with settings loaded from args, environment and file.
func loaded(t *testing.T, args []string, env map[string]string, file string) (*upSettings, error) {
	t.Helper()
	var s upSettings
	root := &cobra.Command{Use: "ocelli"}
	root.PersistentFlags().String("config", "", "")
	cmd := &cobra.Command{Use: "up", RunE: func(*cobra.Command, []string) error { return nil }}
	s.shared.register(cmd.Flags())
	s.node.register(cmd.Flags())
	other := &cobra.Command{Use: "worker", RunE: cmd.RunE}
	s.worker.register(other.Flags())
	root.AddCommand(cmd, other)
	if file != "" {
		path := filepath.Join(t.TempDir(), "ocelli.toml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config="+path)
	}
	if err := cmd.ParseFlags(args); err != nil {
		t.Fatal(err)
	}
	return &s, loadSettings(cmd, func(name string) (string, bool) { v, ok := env[name]; return v, ok })
}

func TestAFlagWinsOverTheEnvironmentAndThatOverTheFile(t *testing.T) {
	s, err := loaded(t, []string{"--lease=1m"},
		map[string]string{"OCELLI_LEASE": "2m", "OCELLI_MAX_IMAGE": "1MB"},
		"lease = \"3m\"\nmax-image = \"2MB\"\nmax-job-images = 7\nconcurrency = 3\n")
	if err != nil {
		t.Fatal(err)
	}
	if s.shared.lease != time.Minute || s.shared.maxImage != 1<<20 || s.node.maxJobImages != 7 {
		t.Errorf("got lease %s, max image %d, job images %d", s.shared.lease, s.shared.maxImage, s.node.maxJobImages)
	}
}

func TestListsInTheFile(t *testing.T) {
	s, err := loaded(t, nil, nil, "host = [\"a.example\", \"b.example\"]\n")
	if err != nil || !slices.Equal(s.node.door.hosts, []string{"a.example", "b.example"}) {
		t.Errorf("hosts %q, %v", s.node.door.hosts, err)
	}
	if _, err := loaded(t, nil, nil, "lease = [\"1m\"]\n"); err == nil || !strings.Contains(err.Error(), "lease is a list") {
		t.Errorf("a list where one value belongs: %v", err)
	}
}

func TestAllProblemsOfTheSettingsAreToldAtOnce(t *testing.T) {
	_, err := loaded(t, nil, map[string]string{"OCELLI_LEASE": "soon"}, "max-image = \"big\"\nno-such-thing = 1\n")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{`OCELLI_LEASE: "soon"`, `max-image: "big"`, `no setting "no-such-thing"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in:\n%v", want, err)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]size{"0": 0, "17": 17, "32MB": 32 << 20, "2 gb": 2 << 30, "1kb": 1 << 10, "5B": 5} {
		var s size
		if err := s.Set(text); err != nil || s != want {
			t.Errorf("%q is %d, %v; want %d", text, s, err, want)
		}
	}
	for _, text := range []string{"", "MB", "-1", "1.5GB", "99999999999TB", "9223372036854775807KB"} {
		var s size
		if err := s.Set(text); err == nil {
			t.Errorf("%q is taken as %d", text, s)
		}
	}
	s := size(3 << 20)
	if s.String() != "3MB" {
		t.Errorf("3 << 20 prints as %s", s.String())
	}
}

func TestExitCodesAndOneLinePerProblem(t *testing.T) {
	for _, c := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"version"}, exitDone, ""},
		{[]string{"upp"}, exitUsage, "ocelli: there is no command \"upp\": did you mean `ocelli up`?\n"},
		{[]string{"models", "lst"}, exitUsage, "ocelli: there is no command \"lst\": did you mean `ocelli models list`?\n"},
		{[]string{"up", "--lisen=x"}, exitUsage, "ocelli: unknown flag: --lisen: see `ocelli up --help`\n"},
		{[]string{"classify", "--top", "x", "a.jpg"}, exitUsage, "ocelli: --top=x is not possible: give a whole number: see `ocelli classify --help`\n"},
		{[]string{"up", "--lease=5"}, exitUsage, "ocelli: --lease=5 is not possible: give a time like 10s or 5m: see `ocelli up --help`\n"},
		{[]string{"up", "--keep=3"}, exitUsage, "ocelli: --keep=3 is not possible: write an age like 30d, 12h or 0: see `ocelli up --help`\n"},
		{[]string{"up", "--lease=0s", "--max-attempts=0"}, exitUsage,
			"ocelli: --lease=0s is not possible: give 1s to 1h\nocelli: --max-attempts=0 is not possible: give 2 to 100, since an image beside one that crashes its worker needs a second\n"},
		{[]string{"classify"}, exitUsage, "ocelli: name at least one image or folder: ocelli classify PATH…\n"},
		{[]string{"classify", "/nowhere/x.jpg"}, exitFailed, "ocelli: there is no file or folder /nowhere/x.jpg\n"},
		{[]string{"worker", "--queue=kafka://x", "--blobs=file:///tmp"}, exitUsage,
			"ocelli: --queue=kafka://x: there is no queue of the kind \"kafka\" here: use nats://HOST:PORT, tls://HOST:PORT or sqs://NAME\n"},
		{[]string{"scale", "--queue=nats://x", "--blobs=file:///tmp", "--fleet=gce://"}, exitUsage,
			"ocelli: --fleet=gce:// is not a fleet that is known here: write local, or ec2://NAME?region=REGION&template=TEMPLATE\n"},
		{[]string{"scale", "--queue=nats://x", "--blobs=file:///tmp", "--fleet=ec2://?size=large"}, exitUsage,
			"ocelli: --fleet: the parameter \"size\" is not known\n"},
		{[]string{"worker", "--queue=nats://u:p@x", "--blobs=file:///tmp"}, exitUsage,
			"ocelli: --queue: secrets do not belong into a URL: give the token in OCELLI_NATS_TOKEN, and credentials of AWS as its tools find them\n"},
	} {
		var out, errs bytes.Buffer
		code := run(t.Context(), c.args, strings.NewReader(""), &out, &errs)
		if code != c.code || errs.String() != c.stderr {
			t.Errorf("ocelli %s: code %d, stderr:\n%swant code %d, stderr:\n%s", strings.Join(c.args, " "), code, errs.String(), c.code, c.stderr)
		}
	}
}

package ec2fleet

import (
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"
)

// Boot is what an instance does when it starts, as a script that cloud-init runs. It needs an image with systemd, bash and
// curl 7.84 or newer, as Amazon Linux 2023, Debian 12 and Ubuntu 24.04 have. Nothing in it may be secret: everybody on the
// instance can read its user data. What the worker needs of that kind it finds in /etc/ocelli/worker.env of its image.
type Boot struct {
	// Binary is where the worker's binary is: an https or http URL. With SignFor, the region of a bucket, requests for it are
	// signed by the role of the instance, as S3 wants it.
	Binary  string
	SignFor string
	SHA256  string // of the binary, 64 hexadecimal digits

	Args     []string        // of the binary: "worker", …
	ArgsThen func() []string // more of them, as they are when an instance is launched; nil is none
	Env      []string        // "KEY=value", added to the worker's environment

	// MaxLife is after what time the instance shuts down, whoever is alive to end it: drained first, as by a Drain.
	MaxLife time.Duration
}

var (
	//go:embed boot.sh
	bootText   string
	bootScript = template.Must(template.New("boot.sh").Funcs(template.FuncMap{"quote": quote}).Parse(bootText))

	sha256Form = regexp.MustCompile(`^[0-9a-f]{64}$`)
	envForm    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)
)

// maxScript is what EC2 takes, in bytes, before it is put into base64.
const maxScript = 16 << 10

func (b Boot) validate() error {
	var errs []error
	say := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	u, err := url.Parse(b.Binary)
	say(err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http",
		"binary=%.200s is not where an instance can fetch the worker's binary: write it like s3://BUCKET/KEY or https://HOST/FILE", b.Binary)
	say(!sha256Form.MatchString(b.SHA256), "sha256=%.80s is no SHA-256: `sha256sum ocelli` prints it", b.SHA256)
	say(b.MaxLife < time.Minute, "max-life=%s is not possible: give 1m or more", b.MaxLife)
	for _, kv := range b.Env {
		say(!envForm.MatchString(kv) || strings.ContainsAny(kv, "\n\x00"), "%.80q is no KEY=value of an environment", kv)
	}
	for _, arg := range b.Args {
		say(strings.ContainsAny(arg, "\n\x00"), "%.80q is no argument of a worker", arg)
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if n := len(b.script(strings.Repeat("n", 63), make([]string, mostAtOnce))); n+mostAtOnce*64 > maxScript {
		return fmt.Errorf("the settings of a worker take %d bytes of its user data, which is too much: put the longest into /etc/ocelli/worker.env of the image", n)
	}
	return nil
}

// script is the user data of the instances of one Launch.
func (b Boot) script(fleetName string, names []string) string {
	var text strings.Builder
	if b.ArgsThen != nil {
		b.Args = slices.Concat(b.Args, b.ArgsThen())
	}
	err := bootScript.Execute(&text, struct {
		Boot
		Fleet   string
		Names   string
		Seconds int
	}{b, fleetName, strings.Join(names, " "), int(b.MaxLife.Seconds())})
	if err != nil {
		panic(err) // the template and its data are constants of this package
	}
	return text.String()
}

// quote makes one word of a POSIX shell of s.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

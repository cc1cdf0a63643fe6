package access

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
)

func keysIn(t *testing.T, path string) *Keys {
	t.Helper()
	k, err := Open(path, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// add puts a new key into the file and returns it with its text.
func add(t *testing.T, path string, k Key) (Key, string) {
	t.Helper()
	made, text := NewKey(k, time.Now())
	if err := Edit(path, func(keys []Key) ([]Key, error) { return append(keys, made), nil }); err != nil {
		t.Fatal(err)
	}
	return made, text
}

var someScopes = []Scope{Submit, Read}

func TestOnlyAHashIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	key, text := add(t, path, Key{Label: "desk", Scopes: someScopes})
	if len(text) != len("ock_")+52 || !strings.HasPrefix(text, "ock_") || len(key.ID) != 20 {
		t.Errorf("the key is %q with the id %q", text, key.ID)
	}
	k := keysIn(t, path)
	secret, ok := k.SigningSecret(key.ID)
	if !ok || len(secret) < 40 {
		t.Errorf("the secret access key is %q, %v", secret, ok)
	}
	if again, err := SigningSecretOf(path, key.ID); err != nil || again != secret {
		t.Errorf("asked again it is %q, %v", again, err)
	}
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			continue
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("others can read %s: %s", file, info.Mode())
		}
		body, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, hidden := range []string{text, text[4:], secret, hex.EncodeToString([]byte(text))} {
			if strings.Contains(string(body), hidden) {
				t.Errorf("%s holds what is secret", file)
			}
		}
	}
}

func TestChangesOfTheFileAreSeen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	k := keysIn(t, path)
	now := time.Now()
	if k.Any(now) {
		t.Error("there is a key in no file")
	}
	key, text := add(t, path, Key{Scopes: someScopes})
	later := func() time.Time { now = now.Add(2 * recheck); return now }
	if got := k.Find(text, later()); got == nil || got.ID != key.ID || got.Owner != key.ID {
		t.Errorf("a new key is found as %+v", got)
	}
	if k.Find(strings.ToUpper(text), now) != nil || k.Find(text+"x", now) != nil || k.Find("", now) != nil || k.Find("ock_", now) != nil {
		t.Error("something else is found")
	}
	if err := os.WriteFile(path, []byte(`{"keys":[{`), 0o600); err != nil {
		t.Fatal(err)
	}
	if k.Find(text, later()) == nil {
		t.Error("a file that is being edited by hand locks everybody out")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if k.Find(text, later()) != nil {
		t.Error("a key is valid whose file was removed")
	}
	key.Disabled = true
	if err := Edit(path, func([]Key) ([]Key, error) { return []Key{key}, nil }); err != nil {
		t.Fatal(err)
	}
	if _, ok := k.SigningSecret(key.ID); k.Find(text, later()) != nil || k.ByID(key.ID, now) != nil || ok {
		t.Error("a key is valid that was revoked")
	}
}

func TestEditsAtTheSameTimeAllCount(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { add(t, path, Key{Scopes: someScopes}) })
	}
	all.Wait()
	if list, err := List(path); err != nil || len(list) != 20 {
		t.Errorf("of 20 keys %d are there: %v", len(list), err)
	}
}

func TestWhatIsWrongWithAKeyIsToldAtOnce(t *testing.T) {
	err := (&Key{Owner: "../x", Scopes: []Scope{"root"}, Rate: -1, Quota: -1, Label: strings.Repeat("x", 201)}).Validate()
	for _, want := range []string{`"root"`, `"../x"`, "requests", "images", "label"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is missing in: %v", want, err)
		}
	}
}

func TestQuotasHoldOverAllNodesAndRestarts(t *testing.T) {
	blobs, ctx := new(blob.Mem), t.Context()
	now := time.Date(2026, 5, 1, 23, 0, 0, 0, time.UTC)
	key := &Key{ID: "OCKX", Quota: 10}
	one, two := newLimits(), newLimits()
	exchange := func(l *limits, node string, at time.Time) {
		t.Helper()
		if err := l.exchange(ctx, blobs, node, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := one.spend(key, 6, now); err != nil {
		t.Fatal(err)
	}
	exchange(one, "one", now)
	exchange(two, "two", now)
	if err := two.spend(key, 5, now); ocelli.AsError(err) == nil || ocelli.AsError(err).Code != ocelli.QuotaUsed || !strings.Contains(err.Error(), "has sent 6") {
		t.Errorf("the eleventh image of the day gives %v", err)
	}
	if err := two.spend(key, 4, now); err != nil {
		t.Error(err)
	}
	exchange(two, "two", now)
	reborn := newLimits()
	exchange(reborn, "three", now)
	if err := reborn.spend(key, 1, now); err == nil {
		t.Error("a restart begins the day anew")
	}
	tomorrow := now.Add(2 * time.Hour)
	if err := reborn.spend(key, 10, tomorrow); err != nil {
		t.Errorf("the next day: %v", err)
	}
	exchange(reborn, "three", tomorrow)
	if err := forget(ctx, blobs, tomorrow.AddDate(0, 0, 1)); err != nil {
		t.Fatal(err)
	}
	var left []string
	for info, err := range blobs.List(ctx, usagePrefix) {
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, info.Key)
	}
	if fmt.Sprint(left) != "[usage/2026-05-02/three.json]" {
		t.Errorf("of the counts are left %v", left)
	}
}

// What was counted yesterday and is given back today makes no room for more.
func TestARefundIsOfItsDay(t *testing.T) {
	before := time.Date(2026, 5, 1, 23, 59, 0, 0, time.UTC)
	after := before.Add(2 * time.Minute)
	l, key := newLimits(), &Key{ID: "OCKX", Quota: 10}
	if err := l.spend(key, 10, before); err != nil {
		t.Fatal(err)
	}
	l.refund(key, 10, before, after)
	if err := l.spend(key, 20, after); err == nil {
		t.Error("the images of yesterday were given back today")
	}
	if err := l.spend(key, 10, after); err != nil {
		t.Error(err)
	}
	l.refund(key, 4, after, after)
	if err := l.spend(key, 5, after); err == nil {
		t.Error("more was given back than was asked for")
	}
	if err := l.spend(key, 4, after); err != nil {
		t.Error(err)
	}
}

func TestWhoMaySeeWhat(t *testing.T) {
	as := func(owner string, scopes ...Scope) context.Context {
		return With(t.Context(), &Caller{Key: &Key{Owner: owner, Scopes: scopes}})
	}
	for _, test := range []struct {
		ctx   context.Context
		owner string
		want  bool
	}{
		{t.Context(), "a", true}, {t.Context(), "", true}, {as("a", Read), "a", true}, {as("a", Read), "b", false}, {as("a", Read), "", false},
		{as("", Read), "", false}, {as("a", Admin), "b", true}, {as("a", Admin), "", true},
	} {
		if got := MaySee(test.ctx, test.owner); got != test.want {
			t.Errorf("%+v may see a job of %q: %v", From(test.ctx), test.owner, got)
		}
	}
}

func TestSignInLeadsToThisSiteOnly(t *testing.T) {
	for next, want := range map[string]string{
		"/jobs/x?part=2": "/jobs/x?part=2", "/": "/", "": "/", "//evil.example": "/", "https://evil.example/": "/", `/\evil.example`: "/",
		"/\r\nSet-Cookie: x": "/", "jobs": "/", "javascript:alert(1)": "/", "/sign-in": "/", "/sign-out": "/", "\t//evil.example": "/",
	} {
		if got := NextPage(next); got != want {
			t.Errorf("%q leads to %q, want %q", next, got, want)
		}
	}
}

// Who waits as long as is told is let in, and who comes a little sooner is not.
func TestWhoIsOverTheRateIsToldWhenToComeAgain(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	for perSecond, want := range map[float64]time.Duration{0.2: 5 * time.Second, 1: time.Second, 10: 100 * time.Millisecond} {
		l, key := newLimits(), &Key{ID: "OCKX", Rate: perSecond}
		var err error
		for err == nil {
			err = l.request(key, now)
		}
		wait, ok := Wait(fmt.Errorf("a layer: %w", err), now)
		if e := ocelli.AsError(err); !ok || wait != want || e == nil || e.Code != ocelli.RateLimited {
			t.Errorf("%g/s: %v, wait %v, want %v", perSecond, err, wait, want)
		}
		if err := l.request(key, now.Add(want-time.Millisecond)); err == nil {
			t.Errorf("%g/s: let in too soon", perSecond)
		}
		if err := l.request(key, now.Add(want)); err != nil {
			t.Errorf("%g/s: %v, after the time that was told", perSecond, err)
		}
	}
	if wait, ok := Wait(ocelli.Errorf(ocelli.QuotaUsed, "no more"), now); !ok || wait != 12*time.Hour {
		t.Errorf("the next day begins in %v", wait)
	}
	if _, ok := Wait(ocelli.Errorf(ocelli.Overloaded, "full"), now); ok {
		t.Error("a full queue is taken for a limit of a key")
	}
}

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image/color"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/access"
	"github.com/ocelli/ocelli/internal/blob"
	"github.com/ocelli/ocelli/internal/fleet"
	"github.com/ocelli/ocelli/internal/notify"
	"github.com/ocelli/ocelli/internal/queue"
	"github.com/ocelli/ocelli/internal/scale"
	"github.com/ocelli/ocelli/internal/work/worktest"
)

// house is a node with keys, on seams in memory, whose log can be read.
type house struct {
	url  string
	keys string // file
	text map[string]string
	id   map[string]string
	log  *bytes.Buffer
}

func beyond(t *testing.T) net.Addr {
	t.Helper()
	addr, err := net.ResolveTCPAddr("tcp", "192.0.2.1:8080")
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

func (h *house) make(t *testing.T, name string, key access.Key) {
	t.Helper()
	made, text := access.NewKey(key, time.Now())
	h.text[name], h.id[name] = text, made.ID
	err := access.Edit(h.keys, func(keys []access.Key) ([]access.Key, error) { return append(keys, made), nil })
	if err != nil {
		t.Fatal(err)
	}
}

func newHouse(t *testing.T) *house {
	t.Helper()
	dir := t.TempDir()
	h := &house{keys: filepath.Join(dir, keysName), text: map[string]string{"nobody": ""}, id: map[string]string{}, log: new(bytes.Buffer)}
	both := []access.Scope{access.Submit, access.Read}
	h.make(t, "owner", access.Key{Scopes: both})
	h.make(t, "other", access.Key{Scopes: both})
	h.make(t, "submitter", access.Key{Scopes: []access.Scope{access.Submit}})
	h.make(t, "reader", access.Key{Scopes: []access.Scope{access.Read}})
	h.make(t, "admin", access.Key{Scopes: []access.Scope{access.Admin}})
	past := time.Now().Add(-time.Hour)
	h.make(t, "expired", access.Key{Scopes: both, Expires: &past})
	h.make(t, "revoked", access.Key{Scopes: both, Disabled: true})
	h.text["wrong"] = h.text["owner"][:len(h.text["owner"])-1] + "!"

	bus := notify.NewMem()
	b := &backends{blobs: new(blob.Mem), queue: queue.NewMem(time.Minute, 10_000), bus: bus, journal: scale.OpenJournal(filepath.Join(dir, "decisions"))}
	log := slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := nodeSettings{maxRequest: 8 << 20, maxJobImages: 100, maxBacklog: 1000, door: doorSettings{auth: "auto"}}
	n, err := newNode(t.Context(), sharedSettings{maxImage: 1 << 20}, s, beyond(t), dir, b, fleet.NewRoster(bus), nil, log)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- n.run(ctx, listener) }()
	t.Cleanup(func() { cancel(); <-done })
	h.url = "http://" + listener.Addr().String()
	return h
}

// ask makes a request as who and returns the answer with its body read.
func (h *house) ask(t *testing.T, who, method, path string, body []byte, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, h.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if h.text[who] != "" {
		req.Header.Set("Authorization", "Bearer "+h.text[who])
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// submit sends one picture as who, and one that is none, so that the job has a result.
func (h *house) submit(t *testing.T, who string) ocelli.Job {
	t.Helper()
	resp, text := h.ask(t, who, "POST", "/v1/jobs", []byte("this is no picture"), "Content-Type", "application/octet-stream")
	var job ocelli.Job
	if err := json.Unmarshal([]byte(text), &job); err != nil || resp.StatusCode != http.StatusAccepted {
		t.Fatalf("%s may not submit: %s %s", who, resp.Status, text)
	}
	return job
}

func TestEveryAddressForEveryCaller(t *testing.T) {
	h := newHouse(t)
	job := h.submit(t, "owner")
	id, image := string(job.ID), string(job.Images[0].ID)
	missing := "01JD0000000000000000000001"
	routes := []struct {
		method, path string
		scope        access.Scope // that it takes
		owned        bool         // it is about one job
	}{
		{"GET", "/v1/jobs/{job}", access.Read, true},
		{"GET", "/v1/jobs/{job}?wait=1ms", access.Read, true},
		{"GET", "/v1/jobs/{job}/events", access.Read, true},
		{"GET", "/v1/jobs/{job}/results.csv", access.Read, true},
		{"GET", "/v1/images/{image}", access.Read, true},
		{"GET", "/v1/images/{image}/content", access.Read, true},
		{"GET", "/jobs/{job}", access.Read, true},
		{"GET", "/jobs/{job}/sorted.zip", access.Read, true},
		{"HEAD", "/v1/jobs/{job}", access.Read, true},
		{"DELETE", "/v1/jobs/{job}", access.Submit, true},
		{"GET", "/", access.Read, false},
		{"GET", "/fleet", access.Read, false},
		{"GET", "/model", access.Read, false},
		{"GET", "/metrics", access.Read, false},
		{"GET", "/v1/jobs", access.Read, false},
		{"GET", "/v1/status", access.Read, false},
		{"GET", "/v1/scaling/decisions", access.Read, false},
		{"GET", "/v1/nothing-here", access.Read, false},
		{"GET", "/no/such/page", access.Read, false},
		{"POST", "/v1/jobs", access.Submit, false},
		{"POST", "/v1/classify?wait=1ms", access.Submit, false},
		{"POST", "/", access.Submit, false},
		{"POST", "/anything", access.Submit, false},
		{"PUT", "/v1/jobs/{job}", access.Submit, false},
	}
	fill := func(path, job, image string) string {
		return strings.NewReplacer("{job}", job, "{image}", image).Replace(path)
	}
	for _, r := range routes {
		for _, who := range []string{"nobody", "wrong", "expired", "revoked"} {
			for _, target := range []string{fill(r.path, id, image), fill(r.path, missing, missing+"-0001")} {
				resp, text := h.ask(t, who, r.method, target, nil)
				if resp.StatusCode != http.StatusUnauthorized || strings.Contains(text, id) {
					t.Errorf("%s: %s %s is answered %s: %.200s", who, r.method, target, resp.Status, text)
				}
			}
		}
		for who, scope := range map[string]access.Scope{"submitter": access.Submit, "reader": access.Read} {
			resp, text := h.ask(t, who, r.method, fill(r.path, id, image), nil)
			if refused := resp.StatusCode == http.StatusForbidden; refused != (r.scope != scope) {
				t.Errorf("%s: %s %s is answered %s: %.200s", who, r.method, r.path, resp.Status, text)
			}
		}
		if !r.owned {
			continue
		}
		resp, text := h.ask(t, "other", r.method, fill(r.path, id, image), nil)
		none, want := h.ask(t, "other", r.method, fill(r.path, missing, missing+"-0001"), nil)
		want = strings.NewReplacer(missing, id).Replace(want)
		if resp.StatusCode != http.StatusNotFound || none.StatusCode != http.StatusNotFound || text != want {
			t.Errorf("other: %s %s is answered %s %s, and one that does not exist %s %s", r.method, r.path, resp.Status, text, none.Status, want)
		}
		same := func(r *http.Response) string {
			head := r.Header.Clone()
			head.Del("Date")
			return fmt.Sprint(head)
		}
		if same(resp) != same(none) && !strings.HasPrefix(r.path, "/jobs/") { // pages are compressed, and another id is another length
			t.Errorf("other: %s %s has the header %s, and one that does not exist %s", r.method, r.path, same(resp), same(none))
		}
		for _, who := range []string{"owner", "admin"} {
			if resp, text := h.ask(t, who, r.method, fill(r.path, id, image), nil); resp.StatusCode == http.StatusForbidden || resp.StatusCode == http.StatusUnauthorized ||
				resp.StatusCode == http.StatusNotFound && !strings.HasSuffix(r.path, "/content") && !strings.Contains(text, "None of the pictures is kept") {
				t.Errorf("%s: %s %s is answered %s: %.200s", who, r.method, r.path, resp.Status, text)
			}
		}
	}
	h.describedRoutes(t)
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/sign-in": 200, "/favicon.ico": 200} {
		if resp, text := h.ask(t, "nobody", "GET", path, nil); resp.StatusCode != want {
			t.Errorf("without a key %s is answered %s: %.200s", path, resp.Status, text)
		}
	}
}

// describedRoutes asks for everything in the description of the API without a key: what somebody adds to it is behind the door, too.
func (h *house) describedRoutes(t *testing.T) {
	t.Helper()
	_, text := h.ask(t, "reader", "GET", "/openapi.json", nil)
	var description struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal([]byte(text), &description); err != nil || len(description.Paths) < 15 {
		t.Fatalf("the description holds %d addresses: %v", len(description.Paths), err)
	}
	for path, methods := range description.Paths {
		for method := range methods {
			if method == "parameters" || path == "/healthz" || path == "/readyz" || strings.HasPrefix(path, "/v2/health/") {
				continue
			}
			resp, text := h.ask(t, "nobody", strings.ToUpper(method), path, nil)
			if resp.StatusCode != http.StatusUnauthorized {
				t.Errorf("without a key %s %s is answered %s: %.200s", method, path, resp.Status, text)
			}
		}
	}
}

func TestAKeyIsTakenInEveryForm(t *testing.T) {
	h := newHouse(t)
	key := h.text["owner"]
	for _, header := range [][]string{{"X-Api-Key", key}, {"Authorization", "bearer " + key}} {
		if resp, text := h.ask(t, "nobody", "GET", "/v1/status", nil, header...); resp.StatusCode != 200 {
			t.Errorf("%s is answered %s %s", header[0], resp.Status, text)
		}
	}
	req, _ := http.NewRequest("GET", h.url+"/v1/status", nil)
	req.SetBasicAuth("any", key)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("as a password it is answered %s", resp.Status)
	}
	// A key that is shown and wrong is not helped by a session, and none stands in an address.
	if resp, _ := h.ask(t, "nobody", "GET", "/v1/status?key="+key, nil); resp.StatusCode != 401 {
		t.Errorf("in the address it is answered %s", resp.Status)
	}
}

func TestABrowserSignsInAndOut(t *testing.T) {
	h := newHouse(t)
	html := []string{"Accept", "text/html"}
	resp, _ := h.ask(t, "nobody", "GET", "/jobs/x?part=2", nil, html...)
	if resp.StatusCode != 303 || resp.Header.Get("Location") != "/sign-in?next=%2Fjobs%2Fx%3Fpart%3D2" {
		t.Fatalf("a page is answered %s, to %s", resp.Status, resp.Header.Get("Location"))
	}
	form := []string{"Content-Type", "application/x-www-form-urlencoded", "Accept", "text/html"}
	resp, text := h.ask(t, "nobody", "POST", "/sign-in", []byte("key=ock_wrong&next=/fleet"), form...)
	if resp.StatusCode != 401 || !strings.Contains(text, "not valid") || len(resp.Cookies()) > 0 {
		t.Errorf("a wrong key is answered %s, %v", resp.Status, resp.Cookies())
	}
	resp, _ = h.ask(t, "nobody", "POST", "/sign-in", []byte("next=%2Ffleet&key="+h.text["owner"]), append(form, "X-Forwarded-Proto", "https")...)
	if resp.StatusCode != 303 || resp.Header.Get("Location") != "/fleet" || len(resp.Cookies()) != 1 {
		t.Fatalf("a right key is answered %s, %v", resp.Status, resp.Header)
	}
	cookie := resp.Cookies()[0]
	if !cookie.HttpOnly || !cookie.Secure || cookie.SameSite != http.SameSiteLaxMode || cookie.Path != "/" || strings.Contains(cookie.Value, h.text["owner"]) {
		t.Errorf("the cookie is %s", resp.Header.Get("Set-Cookie"))
	}
	session := []string{"Cookie", cookie.Name + "=" + cookie.Value, "Accept", "text/html"}
	if resp, text := h.ask(t, "nobody", "GET", "/fleet", nil, session...); resp.StatusCode != 200 || !strings.Contains(text, "Signed in as "+h.id["owner"]) {
		t.Errorf("with a session a page is answered %s", resp.Status)
	}
	if resp, _ := h.ask(t, "nobody", "POST", "/v1/jobs", nil, append(session, "Sec-Fetch-Site", "cross-site")...); resp.StatusCode != 403 {
		t.Errorf("from another site a session is answered %s", resp.Status)
	}
	if resp, _ := h.ask(t, "wrong", "GET", "/v1/status", nil, session...); resp.StatusCode != 401 {
		t.Errorf("a wrong key beside a session is answered %s", resp.Status)
	}
	parts := strings.Split(cookie.Value, ".")
	for i := range parts {
		forged := append([]string(nil), parts...)
		forged[i] = other(forged[i][0]) + forged[i][1:]
		if i == 0 {
			forged[i] = h.id["admin"]
		}
		if resp, _ := h.ask(t, "nobody", "GET", "/v1/status", nil, "Cookie", cookie.Name+"="+strings.Join(forged, ".")); resp.StatusCode != 401 {
			t.Errorf("a cookie with another part %d is answered %s", i, resp.Status)
		}
	}
	if resp, _ := h.ask(t, "nobody", "POST", "/sign-out", nil, session...); resp.StatusCode != 303 || resp.Cookies()[0].Value != "" {
		t.Errorf("signing out is answered %s", resp.Status)
	}
	if resp, _ := h.ask(t, "nobody", "GET", "/v1/status", nil, session[:2]...); resp.StatusCode != 401 {
		t.Errorf("the session that was signed out of is answered %s", resp.Status)
	}
}

func TestLimitsOfAKey(t *testing.T) {
	h := newHouse(t)
	h.make(t, "slow", access.Key{Scopes: []access.Scope{access.Read}, Rate: 0.001})
	h.make(t, "small", access.Key{Scopes: []access.Scope{access.Submit, access.Read}, Quota: 2})
	wait := time.Now().Add(time.Minute)
	for resp, _ := h.ask(t, "slow", "GET", "/v1/status", nil); resp.StatusCode != 200; resp, _ = h.ask(t, "slow", "GET", "/v1/status", nil) {
		if time.Now().After(wait) {
			t.Fatal("a new key is not taken")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if resp, text := h.ask(t, "slow", "GET", "/v1/status", nil); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || !strings.Contains(text, "rate_limited") {
		t.Errorf("beyond its rate a key is answered %s %s", resp.Status, text)
	}
	h.submit(t, "small")
	// A refused request costs nothing.
	if resp, text := h.ask(t, "small", "POST", "/v1/jobs", nil, "Content-Type", "multipart/form-data"); resp.StatusCode != 400 {
		t.Errorf("a broken form is answered %s %s", resp.Status, text)
	}
	h.submit(t, "small")
	resp, text := h.ask(t, "small", "POST", "/v1/jobs", worktest.Picture(color.Black, 2, 2), "Content-Type", "image/png")
	if resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || !strings.Contains(text, "quota_used") {
		t.Errorf("beyond its quota a key is answered %s %s", resp.Status, text)
	}
}

func TestAListIsItsOwners(t *testing.T) {
	h := newHouse(t)
	mine, others := h.submit(t, "owner"), h.submit(t, "other")
	for who, want := range map[string][]ocelli.JobID{"owner": {mine.ID}, "other": {others.ID}, "reader": {}, "admin": {others.ID, mine.ID}} {
		_, text := h.ask(t, who, "GET", "/v1/jobs", nil)
		for _, id := range []ocelli.JobID{mine.ID, others.ID} {
			expected := false
			for _, w := range want {
				expected = expected || w == id
			}
			if strings.Contains(text, string(id)) != expected {
				t.Errorf("%s is told of the jobs %s, and not of %v", who, text, want)
			}
		}
	}
}

func TestIdempotencyKeysAreTheirOwners(t *testing.T) {
	h := newHouse(t)
	ids := map[string]bool{}
	for _, who := range []string{"owner", "other", "owner"} {
		_, text := h.ask(t, who, "POST", "/v1/jobs", []byte("no picture"), "Idempotency-Key", "the same")
		var job ocelli.Job
		if err := json.Unmarshal([]byte(text), &job); err != nil || !job.ID.Valid() {
			t.Fatalf("%s is answered %s", who, text)
		}
		ids[string(job.ID)] = true
	}
	if len(ids) != 2 {
		t.Errorf("two owners with one idempotency key have the jobs %v", ids)
	}
}

func TestSignaturesOfAWSClients(t *testing.T) {
	h := newHouse(t)
	send := func(who, tamper string) (int, string) {
		secret, err := access.SigningSecretOf(h.keys, h.id[who])
		if err != nil {
			t.Fatal(err)
		}
		body := []byte(`{"no":"image"}`)
		digest := sha256.Sum256(body)
		req, err := http.NewRequestWithContext(t.Context(), "POST", h.url+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Amz-Target", "RekognitionService.DetectLabels")
		if who != "nobody" {
			err = v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: h.id[who], SecretAccessKey: secret}, req,
				hex.EncodeToString(digest[:]), "rekognition", "eu-central-1", time.Now())
			if err != nil {
				t.Fatal(err)
			}
		}
		switch tamper {
		case "body":
			body = []byte(`{"an":"image"}`)
		case "target":
			req.Header.Set("X-Amz-Target", "RekognitionService.Detectlabels")
		case "key":
			req.Header.Set("Authorization", strings.Replace(req.Header.Get("Authorization"), h.id[who], h.id["admin"], 1))
		case "bearer": // it is judged by its signature, whatever it carries besides
			req.Header.Set("Authorization", "Bearer "+h.text["owner"])
		}
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode, resp.Header.Get("X-Amzn-Errortype")
	}
	for _, test := range []struct{ who, tamper, want string }{
		{"owner", "", "InvalidParameterException"}, // it came through, and holds no image
		{"submitter", "", "InvalidParameterException"},
		{"reader", "", "AccessDeniedException"},
		{"nobody", "", "MissingAuthenticationTokenException"},
		{"nobody", "bearer", "IncompleteSignatureException"},
		{"expired", "", "UnrecognizedClientException"},
		{"revoked", "", "UnrecognizedClientException"},
		{"owner", "body", "InvalidSignatureException"},
		{"owner", "target", "InvalidSignatureException"},
		{"owner", "key", "InvalidSignatureException"},
	} {
		if status, got := send(test.who, test.tamper); got != test.want || status != 400 {
			t.Errorf("%s with another %q is answered %d %s, want %s", test.who, test.tamper, status, got, test.want)
		}
	}
}

func TestNoSecretStandsInTheLog(t *testing.T) {
	h := newHouse(t)
	for _, who := range []string{"owner", "wrong", "expired", "other"} {
		h.ask(t, who, "GET", "/v1/jobs/x", nil, "X-Api-Key", h.text[who], "Cookie", "ocelli_session="+h.text[who])
		h.ask(t, who, "POST", "/sign-in", []byte("key="+h.text[who]), "Content-Type", "application/x-www-form-urlencoded")
		h.ask(t, who, "POST", "/v1/jobs", []byte("x"), "Idempotency-Key", h.text[who])
	}
	if strings.Contains(h.log.String(), "ock_") || strings.Contains(h.log.String(), "Bearer") {
		t.Errorf("the log holds a key:\n%s", h.log)
	}
}

func TestAnOpenDoorIsRefusedUnlessItIsWanted(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	loopback := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}
	empty := t.TempDir()
	for _, test := range []struct {
		settings doorSettings
		at       net.Addr
		folder   string
		wants    string // of the error; "" for none
		guarded  bool
	}{
		{doorSettings{auth: "auto"}, loopback, empty, "", false},
		{doorSettings{auth: "off"}, beyond(t), empty, "", false},
		{doorSettings{auth: "auto"}, beyond(t), empty, "keys create --keys " + empty, false},
		{doorSettings{auth: "on"}, loopback, empty, "keys create", false},
		{doorSettings{auth: "auto", keys: filepath.Join(empty, "k.json")}, loopback, "", "keys create", false},
		{doorSettings{auth: "auto"}, beyond(t), "", "--keys", false},
		{doorSettings{auth: "auto"}, &net.TCPAddr{IP: net.IPv6unspecified}, "", "--auth=off", false},
	} {
		d, err := test.settings.open(test.at, test.folder, new(blob.Mem), "n", log)
		if test.wants == "" {
			if err != nil || (d.guard != nil) != test.guarded {
				t.Errorf("%+v at %s: %v", test.settings, test.at, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), test.wants) {
			t.Errorf("%+v at %s gives %v, want %q", test.settings, test.at, err, test.wants)
		}
	}
}

func TestNamesOfTheHost(t *testing.T) {
	d := &door{local: true, names: []string{"Photos.example"}}
	handler := d.before(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }),
		func(w http.ResponseWriter, _ *http.Request, err error) {
			w.WriteHeader(ocelli.AsError(err).Code.HTTPStatus())
		})
	for host, want := range map[string]int{
		"localhost": 204, "localhost:8080": 204, "127.0.0.1:8080": 204, "[::1]:8080": 204, "127.8.8.8": 204, "LOCALHOST.": 204, "ocelli.localhost": 204,
		"photos.example:443": 204, "photos.example.": 204, "": 204,
		"evil.example": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "192.168.0.1": 421, "xlocalhost": 421,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("Host %q is answered %d, want %d", host, w.Code, want)
		}
	}
}

// other is a digit that is not c.
func other(c byte) string {
	if c == '9' {
		return "8"
	}
	return "9"
}

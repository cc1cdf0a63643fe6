package e2e

import (
	"encoding/json"
	"net/http"
	"os/exec"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// key NAME [FLAG…] makes an API key of the service on the folder data and sets NAME to it, and NAME_ID to its id. Requests of http, and
// commands, use the one that OCELLI_KEY is set to.
func newKey(ts *testscript.TestScript, _ bool, args []string) {
	cmd := exec.Command(binary, append([]string{"keys", "create", "--json", "--data=" + ts.MkAbs("data")}, args[1:]...)...)
	cmd.Env = environment(ts)
	out, err := cmd.Output()
	ts.Check(err)
	var made struct{ ID, Key string }
	ts.Check(json.Unmarshal(out, &made))
	ts.Setenv(args[0], made.Key)
	ts.Setenv(args[0]+"_ID", made.ID)
}

// await WITHIN STATUS PATH gets the path until the answer has the status.
func await(ts *testscript.TestScript, _ bool, args []string) {
	within, err := time.ParseDuration(args[0])
	ts.Check(err)
	for deadline := time.Now().Add(within); ; time.Sleep(50 * time.Millisecond) {
		req, err := http.NewRequest(http.MethodGet, serviceOf(ts).url+args[2], nil)
		ts.Check(err)
		if key := ts.Getenv("OCELLI_KEY"); key != "" {
			req.Header.Set("Authorization", "Bearer "+key)
		}
		resp, err := http.DefaultClient.Do(req)
		ts.Check(err)
		ts.Check(resp.Body.Close())
		if strconv.Itoa(resp.StatusCode) == args[1] {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s is answered %s after %s", args[2], resp.Status, within)
		}
	}
}

// mended makes up start the program as it is, after planted.
func mended(ts *testscript.TestScript, _ bool, _ []string) { serviceOf(ts).binary = binary }

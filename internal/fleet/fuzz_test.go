package fleet

import "testing"

// What anybody on the bus can send is a report that makes sense, or none.
func FuzzReport(f *testing.F) {
	f.Add([]byte(`{"name":"ocelli-worker-1","pid":7,"state":"busy","holding":2,"done":3}`))
	f.Add([]byte(`{"name":"../x","state":"idle"}`))
	f.Add([]byte(`{"name":"w","state":"idle","holding":-1}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := parseReport(body)
		if err == nil && (CheckName(r.Name) != nil || r.Holding < 0 || r.Done < 0 || r.Rate < 0) {
			t.Errorf("%q was taken for the report %+v", body, r)
		}
	})
}

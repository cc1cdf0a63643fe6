package blob_test

import (
	"fmt"
	"testing"

	"github.com/ocelli/ocelli/internal/blob"
)

func TestDeleteAllDeletesWhatIsUnderThePrefixAndNoMore(t *testing.T) {
	m := new(blob.Mem)
	keys := []string{"b/kept", "input"}
	for i := range 2500 { // more than two groups
		keys = append(keys, fmt.Sprintf("a/%d/x", i))
	}
	for _, key := range keys {
		if _, err := m.Create(t.Context(), key, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := blob.DeleteAll(t.Context(), m, "a/"); err != nil {
		t.Fatal(err)
	}
	var left []string
	for info, err := range m.List(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, info.Key)
	}
	if len(left) != 2 || left[0] != "b/kept" || left[1] != "input" {
		t.Errorf("%d blobs are left: %.10q", len(left), left)
	}
}

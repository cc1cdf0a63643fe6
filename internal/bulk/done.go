package bulk

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/ocelli/ocelli"
)

// Done knows which images an earlier run has done, by sixteen bytes of each: two of a million names are taken for one another with a chance
// of 1 in 10^27.
type Done struct {
	sums   []sum
	sorted bool
	failed map[sum]bool
}

type sum [16]byte

func sumOf(name string) sum {
	whole := sha256.Sum256([]byte(name))
	return sum(whole[:16])
}

// Add enters a result of an earlier run. One that failed for a reason beyond the image is not done: it is tried again.
func (d *Done) Add(name string, code ocelli.Code) {
	key := sumOf(name)
	if d.failed == nil {
		d.failed = map[sum]bool{}
	}
	delete(d.failed, key)
	if passing(code) {
		return
	}
	d.sums, d.sorted = append(d.sums, key), false
	if code != "" {
		d.failed[key] = true
	}
}

// passing reports whether a result failed for a reason beyond the image, and another try is worth it.
func passing(code ocelli.Code) bool {
	return code == ocelli.Unavailable || code == ocelli.Overloaded || code == ocelli.Cancelled
}

// Has reports whether an item is done.
func (d *Done) Has(item Item) bool { return d.has(item.Name) }

func (d *Done) has(name string) bool {
	if !d.sorted {
		slices.SortFunc(d.sums, func(a, b sum) int { return bytes.Compare(a[:], b[:]) })
		d.sorted = true
	}
	_, found := slices.BinarySearchFunc(d.sums, sumOf(name), func(a, b sum) int { return bytes.Compare(a[:], b[:]) })
	return found
}

// Failed is how many of them have an error for a result.
func (d *Done) Failed() int { return len(d.failed) }

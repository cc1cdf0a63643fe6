package archive

import (
	"io"

	"github.com/ocelli/ocelli"
)

const (
	// mostRatio is how many times its size an archive may unpack to, beyond the first freeBytes. Photos do not shrink at all; the
	// plainest drawing without compression of its own shrinks to a hundredth.
	mostRatio = 100
	freeBytes = 256 << 20
)

// Budget bounds what the archives of one request unpack to, together.
type Budget struct {
	limit            int64
	packed, unpacked int64
}

// NewBudget returns a budget of so many bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// spend counts unpacked bytes and returns an [ocelli.Error] when they are too many.
func (b *Budget) spend(n int) error {
	b.unpacked += int64(n)
	switch {
	case b.unpacked > b.limit:
		return ocelli.Errorf(ocelli.TooLarge, "unpacks to more than %d MB, the limit for one request: send it in several parts", b.limit>>20)
	case b.unpacked > freeBytes && b.unpacked/mostRatio > b.packed:
		return ocelli.Errorf(ocelli.TooLarge, "unpacks to more than %d times its size: pack pictures alone", mostRatio)
	}
	return nil
}

// spending reads what was unpacked within a budget.
type spending struct {
	r      io.Reader
	budget *Budget
}

func (s *spending) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if over := s.budget.spend(n); over != nil {
		return 0, over
	}
	return n, err
}

package intake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// List is a list in a request in JSON that is short where it is right. Of another no more is kept than it takes to tell: in few megabytes of
// JSON there is room for millions of elements, each of which takes far more memory than it has bytes.
type List[T any] []T

// mostElements of a list are read.
const mostElements = 128

// UnmarshalJSON implements [json.Unmarshaler].
func (l *List[T]) UnmarshalJSON(text []byte) error {
	*l = nil
	in := json.NewDecoder(bytes.NewReader(text))
	first, err := in.Token()
	if err != nil || first == nil {
		return err
	}
	if first != json.Delim('[') {
		return errors.New("a list is missing where one must be")
	}
	for in.More() {
		if len(*l) == mostElements {
			return fmt.Errorf("a list has more than %d elements, the limit", mostElements)
		}
		var element T
		if err := in.Decode(&element); err != nil {
			return err
		}
		*l = append(*l, element)
	}
	return nil
}

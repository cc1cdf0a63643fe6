package bulk

import (
	"context"
	"io"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/decode"
)

// MaxImageBytes is the limit for one image, on the command line as in the service.
const MaxImageBytes = 32 << 20

// ReadAll reads an image that is not larger than one may be.
func ReadAll(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxImageBytes+1))
	if err != nil {
		return nil, err
	}
	if len(data) > MaxImageBytes {
		return nil, ocelli.Errorf(ocelli.TooLarge, "is larger than %d MB, the limit for one image", MaxImageBytes>>20)
	}
	return data, nil
}

// read returns the bytes of an item.
func read(ctx context.Context, item Item) ([]byte, error) {
	r, err := item.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	data, err := ReadAll(r)
	if err == nil && item.Maybe && decode.Sniff(data) == "" {
		return nil, errPassedOver
	}
	return data, err
}

// errPassedOver is the error of an item that may be no image and is none.
var errPassedOver = ocelli.Errorf(ocelli.UnsupportedType, "is passed over")

// fault is the error of an item as its result tells it.
func fault(item Item, err error) *ocelli.Error {
	if e := ocelli.AsError(err); e == errPassedOver {
		return e
	} else if e != nil {
		return ocelli.Errorf(e.Code, "%s %s", item.Name, e.Message)
	}
	return ocelli.Errorf(ocelli.Unavailable, "%v", err)
}

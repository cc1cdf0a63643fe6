// Package classify turns upright pixels into labels: the card of a model, the preprocessing that it
// asks for, softmax and top-k. Sub-packages run the network.
package classify

import (
	"context"

	"github.com/ocelli/ocelli"
)

// Classifier is a seam: a loaded model.
//
// Every method may be called from any number of goroutines at once. A Classifier holds no state between
// calls: the same pixels give the same labels, alone or in whatever batch.
type Classifier interface {
	// Model tells which network this is.
	Model() ocelli.Model

	// ShortSide is the size in pixels below which the short side of an image should not be scaled while it is decoded, so
	// that nothing is lost that the network would see. 0 means that the image is wanted at its own size.
	ShortSide() int

	// Classify returns the labels of each image, in the order of images, best first. The images are not
	// changed or kept. An error is the model's, not an image's.
	Classify(ctx context.Context, images ...ocelli.Pixels) ([][]ocelli.Label, error)

	// Close frees what the model holds. No other call may be under way or follow.
	Close() error
}

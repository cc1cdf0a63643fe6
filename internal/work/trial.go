package work

import (
	"context"
	"fmt"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
)

// An image can take its worker down with it, and with the worker every other image that it holds. All of them come back, and the
// queue counts an attempt for each, the innocent ones too. So from its second delivery on an image is a suspect:
// it is worked on with no other image in hand, and each such trial is written down before the image is touched. What
// is counted against an image are its trials, and not deliveries in which it was never touched.

// trialKey is the blob key that stands for the n-th trial of an image.
func trialKey(image ocelli.ImageID, n int) string {
	return fmt.Sprintf("%s%04d", trialPrefix(image), n)
}

func trialPrefix(image ocelli.ImageID) string {
	job, _, _ := image.Split()
	return "trials/" + string(job) + "/" + string(image) + "."
}

// try enters a trial of the image. It returns how many times the image was touched before: its trials, and the first delivery, in
// which any image is touched as a rule. From most on it enters none.
func (w *Worker) try(ctx context.Context, image ocelli.ImageID, most int) (before int, err error) {
	before = 1
	for _, err := range w.Blobs.List(ctx, trialPrefix(image)) {
		if err != nil {
			return 0, fmt.Errorf("counting the trials of %s: %w", image, err)
		}
		before++
	}
	if before >= most {
		return before, nil
	}
	if _, err := w.Blobs.Create(ctx, trialKey(image, before), nil); err != nil {
		return 0, fmt.Errorf("entering a trial of %s: %w", image, err)
	}
	return before, nil
}

// untry takes back the trial by which an image came to be touched so many times: it was sound, and only its result could not be kept.
func untry(ctx context.Context, blobs blob.Store, image ocelli.ImageID, touched int) {
	_ = blobs.Delete(ctx, trialKey(image, touched-1)) // what stays counts once too often
}

// forget removes the trials of an image that has its result. What is left behind harms nobody.
func forget(ctx context.Context, blobs blob.Store, image ocelli.ImageID) {
	var keys []string
	for info, err := range blobs.List(ctx, trialPrefix(image)) {
		if err != nil {
			return
		}
		keys = append(keys, info.Key)
	}
	_ = blobs.Delete(ctx, keys...)
}

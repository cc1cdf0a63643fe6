package work

import (
	"time"

	"github.com/ocelli/ocelli"
)

// stuckGrace is how long after its time an image may stay in the hands of code that does not look at the context, as native code.
const stuckGrace = 5 * time.Second

// guard watches over an image in hand. Where it is still there long after its time, nothing but the end of the process gets
// the worker free: the image comes back as a suspect, and those beside it unharmed. The function that is returned ends the watch.
func (w *Worker) guard(image ocelli.ImageID) (end func() bool) {
	return time.AfterFunc(w.ImageTime+stuckGrace, func() {
		w.Log.Error("an image holds the worker up and cannot be stopped; the worker ends", "worker", w.Name, "image", image, "after", w.ImageTime+stuckGrace)
		w.Stuck()
	}).Stop
}

// Package ocelli holds the words of an elastic image-recognition service: images, jobs, results and
// the errors that people meet. It depends on the standard library alone, and everything else depends
// on it.
//
// # The life of an image
//
// An image goes through nine steps. The packages are named after them, in this order:
//
//  1. receive: internal/api and internal/web parse a request as a stream; limits hold before a body is
//     read whole. cmd/ocelli does the same for files on a command line.
//  2. accept: internal/intake gives the image a unique, sortable [ImageID].
//  3. keep: internal/blob stores its bytes under input/<job>/<image>, durably.
//  4. wait: internal/queue holds one durable message for it.
//  5. work: internal/work leases the message and extends the lease while it runs.
//  6. decode: internal/decode turns the bytes into upright RGB [Pixels] within limits.
//  7. infer: internal/classify turns the pixels into [Label] values.
//  8. save and tell: internal/result writes output/<job>/<image>.json, where the first write wins, and
//     internal/notify tells the web node that waits; only then is the message acknowledged.
//  9. show: internal/api and internal/web show the [Job]; a notification that was lost is repaired by
//     reading the store.
//
// Beside that path, internal/scale decides how many workers the backlog is worth, as a pure function,
// and internal/fleet starts and ends them. cmd/ocelli is the only place that knows which driver stands
// behind each seam.
package ocelli

package web

import "github.com/ocelli/ocelli"

// remedy is what the page knows about an error of a picture.
type remedy struct {
	Code  ocelli.Code
	Todo  string // one sentence: what the visitor can do
	Kept  bool   // the bytes are still there and may be a picture
	Again bool   // to send the same picture again may help
}

// unsent is the code by which scripts call pictures that the server never accepted.
const unsent ocelli.Code = "unsent"

// remedies are those of the errors that a picture can have. Of other errors nothing is known.
var remedies = []remedy{
	{Code: ocelli.EmptyFile, Todo: "Save or export it again."},
	{Code: ocelli.TooLarge, Todo: "Save it smaller, and send that."},
	{Code: ocelli.UnsupportedType, Todo: "Send it as JPEG, PNG, WebP, GIF, TIFF, BMP or AVIF."},
	{Code: ocelli.TooManyPixels, Kept: true}, // the error itself says it
	{Code: ocelli.CorruptImage, Kept: true, Todo: "Open it in a photo program, save it anew, and send that."},
	{Code: ocelli.CorruptArchive, Todo: "Pack the pictures again."},
	{Code: ocelli.Encrypted, Todo: "Pack it without a password."},
	{Code: ocelli.FetchFailed, Again: true},
	{Code: ocelli.FetchRefused},
	{Code: ocelli.BadRequest}, // an address that nobody can ask
	{Code: ocelli.GaveUp, Kept: true, Again: true, Todo: "“Send failed ones again” tries once more."},
	{Code: ocelli.Cancelled, Again: true},
	{Code: ocelli.DeadlineExceeded, Kept: true, Again: true, Todo: "“Send failed ones again” sends it without a deadline."},
	{Code: unsent, Again: true, Todo: "“Send failed ones again” tries once more."},
}

// remedyOf returns what is known about errors with the code.
func remedyOf(code ocelli.Code) remedy {
	for _, r := range remedies {
		if r.Code == code {
			return r
		}
	}
	return remedy{Code: code, Kept: true, Again: true}
}

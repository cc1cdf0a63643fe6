package intake

import (
	"bufio"
	"cmp"
	"io"
	"iter"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/archive"
)

// unpacked passes uploads on, and in place of each archive the files in it. An archive that cannot be read, or not to its end, is an
// upload with a fault; what came out of it before stays. An archive inside an archive is a file that is no image.
func (in *Intake) unpacked(uploads iter.Seq2[Upload, error]) iter.Seq2[Upload, error] {
	return func(yield func(Upload, error) bool) {
		budget := archive.NewBudget(in.Limits.RequestBytes)
		for up, err := range uploads {
			kind := archive.Kind("")
			if err == nil {
				r := bufio.NewReaderSize(up.Body, sourceBytes)
				head, _ := r.Peek(archive.HeadBytes) // an error comes again when it is read
				kind = archive.Sniff(head)
				up.Body = r
			}
			if kind == "" && !yield(up, err) || kind != "" && !unpack(up, kind, budget, yield) {
				return
			}
		}
	}
}

// unpack yields the files of one archive and reports whether more uploads are wanted.
func unpack(up Upload, kind archive.Kind, budget *archive.Budget, yield func(Upload, error) bool) bool {
	for file, err := range archive.Files(kind, up.Body, budget) {
		if fault := ocelli.AsError(err); fault != nil {
			return yield(Upload{Field: up.Field, Name: cmp.Or(up.Name, "archive."+string(kind)), Fault: fault}, nil)
		}
		if err != nil {
			return yield(Upload{}, brokenOff(err))
		}
		if !yield(Upload{Field: up.Field, Name: file.Name, Body: &own{file.Body}, Fault: file.Fault}, nil) {
			return false
		}
	}
	return true
}

// own is a Body whose every [ocelli.Error] concerns this one file.
type own struct{ r io.Reader }

func (o *own) Read(b []byte) (int, error) {
	n, err := o.r.Read(b)
	if fault := ocelli.AsError(err); fault != nil {
		err = &Fault{fault}
	}
	return n, err
}

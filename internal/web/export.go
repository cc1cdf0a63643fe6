package web

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/blob"
)

// sorted streams the pictures of a job as a zip archive with a folder for each label. Pictures are stored as they are, since they
// are compressed already. What is not kept is left out. An archive that ends early because the store does not answer is left without its
// directory, so that nobody takes it for whole.
func (s *web) sorted(w http.ResponseWriter, r *http.Request) {
	job, err := s.Tracker.Job(r.Context(), ocelli.JobID(r.PathValue("id")))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/zip")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="%s.zip"`, job.ID))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	archive := zip.NewWriter(w)
	packed := 0
	for i, image := range job.Images {
		err := s.pack(r.Context(), archive, i+1, image, job.Created)
		if err == nil {
			packed++
		} else if !errors.Is(err, blob.ErrNotFound) {
			if r.Context().Err() == nil {
				s.Log.Error("archive broke off", "job", job.ID, "image", image.ID, "error", err)
			}
			panic(http.ErrAbortHandler) // the status is long sent; a broken connection is the only way left to say it
		}
	}
	if packed == 0 { // and nothing has been sent
		w.Header().Del("Content-Disposition")
		s.showError(w, r, http.StatusNotFound, "None of the pictures is kept here: only what they show, on the page of the job.")
		return
	}
	_ = archive.Close() // the only error is that the client has gone
}

// pack adds one picture, with the time when it was sent. Where its bytes were never kept, or are not any more, the error is [blob.ErrNotFound].
func (s *web) pack(ctx context.Context, archive *zip.Writer, place int, image ocelli.ImageStatus, sent time.Time) error {
	folder := "waiting"
	switch {
	case image.Error != nil && !remedyOf(image.Error.Code).Kept:
		return blob.ErrNotFound
	case image.Error != nil:
		folder = "not recognised"
	case image.Result != nil:
		folder = image.Result.Labels[0].Name
	}
	job, _, _ := image.ID.Split()
	body, err := s.Blobs.Open(ctx, ocelli.InputKey(job, image.ID))
	if err != nil {
		return err
	}
	defer body.Close()
	entry, err := archive.CreateHeader(&zip.FileHeader{
		Name: fmt.Sprintf("%s/%04d %s", safeName(folder), place, safeName(image.Name)), Method: zip.Store, Modified: sent,
	})
	if err != nil {
		return err
	}
	_, err = io.Copy(entry, body)
	return err
}

// safeName replaces what file systems do not take in a name, of which Windows is the strictest
// (https://learn.microsoft.com/en-us/windows/win32/fileio/naming-a-file). The number in front of a file's name
// keeps it from being a reserved one.
func safeName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune(`<>:"/\|?*`, r) {
			return '_'
		}
		return r
	}, name)
	return strings.TrimRight(name, ". ")
}

package bulk_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/bulk"
)

// below lists the files in dir and below it.
func below(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			all = append(all, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

func labelled(name string, parents ...string) ocelli.Result {
	return ocelli.Result{Labels: []ocelli.Label{{Name: name, ID: "n7", Score: 0.876, Parents: parents}}}
}

func TestImagesAreSortedByTheirLabels(t *testing.T) {
	in := tree(t, map[string][]byte{"x/dog.jpg": red, "y/dog.jpg": blue, "z/dog.jpg": red, "cat.jpeg": red, "no-extension": red})
	item := func(name string) bulk.Item { return bulk.Local(filepath.Join(in, name)) }
	for template, want := range map[string][]string{
		"{label}/":                      {"cat/cat.jpeg", "cat/no-extension", "dog/dog-HASH.jpg", "dog/dog.jpg"},
		"{parent}/{label}/{score}{ext}": {"animal/dog/0.88-HASH.jpg", "animal/dog/0.88.jpg", "none/cat/0.88", "none/cat/0.88.jpeg"},
		"all/{id}-{label}-{name}{ext}":  {"n7-cat-cat.jpeg", "n7-cat-no-extension", "n7-dog-dog-HASH.jpg", "n7-dog-dog.jpg"},
		"a-{label}/b/":                  {"a-cat/b/cat.jpeg", "a-cat/b/no-extension", "a-dog/b/dog-HASH.jpg", "a-dog/b/dog.jpg"},
	} {
		for _, link := range []bool{false, true} {
			out := t.TempDir()
			root := filepath.Join(out, strings.TrimSuffix(template[:strings.IndexByte(template, '{')], "a-"))
			for range 2 { // the second time everything is there
				s, err := bulk.NewSorter(out+"/"+template, link)
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"x/dog.jpg", "y/dog.jpg", "z/dog.jpg"} {
					if err := s.Put(t.Context(), item(name), labelled("dog", "animal", "thing")); err != nil {
						t.Fatal(err)
					}
				}
				for _, name := range []string{"cat.jpeg", "no-extension"} {
					if err := s.Put(t.Context(), item(name), labelled("cat")); err != nil {
						t.Fatal(err)
					}
				}
				failed := ocelli.Result{Error: ocelli.Errorf(ocelli.CorruptImage, "is damaged")}
				if err := s.Put(t.Context(), item("cat.jpeg"), failed); err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
			}
			hash := "-a1" // placeholder for eight hexadecimal digits
			got := below(t, root)
			for i := range got {
				if at := strings.LastIndexByte(got[i], '-'); at > 0 && len(got[i]) > at+9 && strings.Trim(got[i][at+1:at+9], "0123456789abcdef") == "" {
					hash = got[i][at : at+9]
					got[i] = strings.Replace(got[i], hash, "-HASH", 1)
				}
			}
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s, link %v: %s", template, link, diff)
			}
		}
	}
}

func TestLinksAreLinks(t *testing.T) {
	in, out := tree(t, map[string][]byte{"dog.jpg": red}), t.TempDir()
	s, err := bulk.NewSorter(out+"/{label}/", true)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("dog.jpg", in+"/link.jpg"); err != nil { // whose text leads nowhere from another folder
		t.Fatal(err)
	}
	a, _ := os.Stat(in + "/dog.jpg")
	for _, name := range []string{"dog.jpg", "link.jpg"} {
		if err := s.Put(t.Context(), bulk.Local(in+"/"+name), labelled("dog")); err != nil {
			t.Fatal(err)
		}
		if b, err := os.Stat(out + "/dog/" + name); err != nil || !os.SameFile(a, b) {
			t.Errorf("%s is a copy: %v", name, err)
		}
	}
}

// Long names in one part of a template, or of which many are the same, are cut off; one that is too long for a sidecar is that image's fault.
func TestNamesThatAreTooLong(t *testing.T) {
	in, out := t.TempDir(), t.TempDir()
	name := strings.Repeat("n", 249) + ".jpg"
	if err := os.WriteFile(filepath.Join(in, name), red, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := bulk.NewSorter(out+"/{label}-{parent}-{name}{ext}", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range [][]byte{red, blue} {
		if err := os.WriteFile(filepath.Join(in, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.Put(t.Context(), bulk.Local(filepath.Join(in, name)), labelled(strings.Repeat("ä", 150))); err != nil {
			t.Errorf("a copy: %v", err)
		}
	}
	if got := below(t, out); len(got) != 2 || !strings.HasSuffix(got[0], ".jpg") || !strings.HasSuffix(got[1], ".jpg") {
		t.Errorf("copies %q", got)
	}
	err = bulk.Sidecar{Suffix: ".json"}.Put(t.Context(), bulk.Local(filepath.Join(in, name)), labelled("dog"))
	if e := ocelli.AsError(err); e == nil || e.Code != ocelli.Unavailable || !strings.Contains(e.Message, "too long") {
		t.Errorf("a sidecar: %v", err)
	}
}

// Labels are the model's and names are anybody's: neither leads out of the folder.
func TestNoNameLeadsOutOfTheFolder(t *testing.T) {
	out := t.TempDir()
	s, err := bulk.NewSorter(filepath.Join(out, "sorted")+"/{label}/{name}{ext}", false)
	if err != nil {
		t.Fatal(err)
	}
	for _, hostile := range []string{"..", ".", "", "../../x", "/etc/passwd", "a\x00b", "c\n\x1b[2J", strings.Repeat("ä", 400), `..\..\x`, "…", "a/../..", "\u202egpj.exe", "\xff"} {
		item := bulk.One(newFinder().Input(hostile, strings.NewReader(string(red))))
		for item, err := range item {
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Put(t.Context(), item, labelled(hostile)); err != nil {
				t.Errorf("%q: %v", hostile, err)
			}
		}
	}
	for _, path := range below(t, out) {
		if !strings.HasPrefix(path, "sorted/") || strings.ContainsAny(path, "\x00\n\x1b\\") {
			t.Errorf("%q was written", path)
		}
	}
}

func TestTemplatesThatMeanNothing(t *testing.T) {
	for _, template := range []string{"sorted", "sorted/", "{lable}/", "{}", "x/{name}/{color}"} {
		if s, err := bulk.NewSorter(filepath.Join(t.TempDir(), template), false); err == nil {
			t.Errorf("%s is taken for %+v", template, s)
		}
	}
}

// Copies of another run, and what one that was killed has left, are none of ours: process ids are the same in two containers.
func TestWhatOtherRunsAreWritingIsLeftAlone(t *testing.T) {
	in, out := tree(t, map[string][]byte{"dog.jpg": red}), t.TempDir()
	own := fmt.Sprintf("dog/.ocelli-%d.tmp", os.Getpid())
	for _, name := range []string{own, "dog/.ocelli-OLD.tmp", "dog/.ocelli-NEW.tmp", "cat/.ocelli-OLD.tmp", "dog/old.tmp"} {
		write(t, filepath.Join(out, name), blue)
		if !strings.Contains(name, "NEW") && name != own {
			if err := os.Chtimes(filepath.Join(out, name), time.Time{}, time.Now().Add(-2*time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Link(filepath.Join(out, own), filepath.Join(out, "dog/old.png")); err != nil { // as one that was killed in between
		t.Fatal(err)
	}
	s, err := bulk.NewSorter(out+"/{label}/", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Put(t.Context(), bulk.Local(in+"/dog.jpg"), labelled("dog")), s.Close()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"cat/.ocelli-OLD.tmp", "dog/.ocelli-NEW.tmp", own, "dog/dog.jpg", "dog/old.png", "dog/old.tmp"}, below(t, out), sorted); diff != "" {
		t.Error(diff)
	}
	if old, err := os.ReadFile(filepath.Join(out, "dog/old.png")); err != nil || !bytes.Equal(old, blue) {
		t.Errorf("the copy of another run was changed: %v", err)
	}
	if diff := cmp.Diff([]string{"dog/dog.jpg", "dog/old.png", "dog/old.tmp"}, names(out, newFinder().Folder(t.Context(), out))); diff != "" {
		t.Errorf("what is left is taken for images: %s", diff)
	}
}

var sorted = cmpopts.SortSlices(strings.Compare)

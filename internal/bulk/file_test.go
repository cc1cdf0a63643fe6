package bulk_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/bulk"
)

// some are results with all that makes files hard to read again.
func some() []ocelli.Result {
	rs := []ocelli.Result{
		{Name: "a.jpg", Labels: []ocelli.Label{{Name: "dog", ID: "n1", Score: 0.5, Parents: []string{"animal", "thing"}}}, Width: 3, Height: 2},
		{Name: "with \"quotes\", commas\nand lines.jpg", Labels: []ocelli.Label{{Name: "=cmd()"}}},
		{Name: "-", Error: ocelli.Errorf(ocelli.CorruptImage, "- is damaged")},
		{Name: "'quoted'.jpg", Labels: []ocelli.Label{{Name: "cat"}}},
		{Name: "später 🐕.jpg", Error: ocelli.Errorf(ocelli.Unavailable, "open:\r\nno")},
		{Name: "\xff.png", Labels: []ocelli.Label{{Name: "dog"}}},
		{Name: "\xfe.png", Labels: []ocelli.Label{{Name: "cat"}}},
		{Name: "last.jpg", Labels: []ocelli.Label{{Name: "owl"}}},
	}
	for i := range rs {
		if rs[i].Labels == nil {
			rs[i].Labels = []ocelli.Label{}
		}
	}
	return rs
}

// Wherever the writing was cut off, what is whole is known, what is torn is removed, and going on gives the same file.
func TestAFileIsGoneOnWithFromWhereverItWasCutOff(t *testing.T) {
	for name, format := range map[string]bulk.Format{"r.ndjson": bulk.NDJSON{}, "r.csv": bulk.CSV{}} {
		path := filepath.Join(t.TempDir(), name)
		file, err := bulk.Create(path, bulk.FormatOf(path))
		if err != nil {
			t.Fatal(err)
		}
		ends := []int{len(format.Header())}
		for _, r := range some() {
			if err := file.Put(t.Context(), bulk.Item{}, r); err != nil {
				t.Fatal(err)
			}
			ends = append(ends, ends[len(ends)-1]+len(format.Line(r)))
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for cut := range len(whole) + 1 {
			atEnd := func(end int) bool { return cut >= end-2 && cut <= end+1 }
			if cut%11 != 0 && !slices.ContainsFunc(ends, atEnd) {
				continue // each cut waits for the disk twice
			}
			write(t, path, whole[:cut])
			var known []string
			file, err := bulk.Resume(path, format, func(name string, code ocelli.Code) { known = append(known, name+" "+string(code)) })
			if err != nil {
				t.Fatalf("%s cut at %d: %v", name, cut, err)
			}
			done, _ := slices.BinarySearch(ends, cut+1)
			done = max(0, done-1)
			var want []string
			for _, r := range some()[:done] {
				code := ""
				if r.Error != nil {
					code = string(r.Error.Code)
				}
				want = append(want, r.Name+" "+code)
			}
			if diff := cmp.Diff(want, known); diff != "" {
				t.Fatalf("%s cut at %d: %s", name, cut, diff)
			}
			for _, r := range some()[done:] {
				if err := file.Put(t.Context(), bulk.Item{}, r); err != nil {
					t.Fatal(err)
				}
			}
			if err := file.Close(); err != nil {
				t.Fatal(err)
			}
			if again, _ := os.ReadFile(path); string(again) != string(whole) {
				t.Fatalf("%s cut at %d and gone on with reads\n%s", name, cut, again)
			}
		}
	}
}

func TestAFileIsNeverOverwritten(t *testing.T) {
	dir := tree(t, map[string][]byte{"r.csv": []byte("name,price\nx,1\n"), "notes.ndjson": []byte("dear diary\n"), "other.ndjson": []byte("{\"a\":1}\n")})
	wants := map[string]string{"r.csv": "line 1 is not of a table", "notes.ndjson": "line 1 is no result", "other.ndjson": "line 1 is no result"}
	// Without the end of a line, too, or without one that is whole.
	for name, text := range map[string]string{
		"line.csv": "name,price", "header.csv": "name,label,label_id,score,parents,width,height,error,message,mine", "quote.csv": "\"name", "word.csv": "x",
		"small.json": `{"a":1}`, "pod.json": `{"image":"nginx","name":"web"}`, "text.ndjson": "dear diary", "array.json": "[", "large.json": `{"image":"` + strings.Repeat("x", 2<<20),
	} {
		write(t, filepath.Join(dir, name), []byte(text))
		wants[name] = "it holds no result"
	}
	nobody := func(string, ocelli.Code) { t.Error("something was found in a file of others") }
	for name, want := range wants {
		path := filepath.Join(dir, name)
		before, _ := os.ReadFile(path)
		if _, err := bulk.Create(path, bulk.NDJSON{}); err == nil || !strings.Contains(err.Error(), "--resume") {
			t.Errorf("%s is created again: %v", name, err)
		}
		if _, err := bulk.Resume(path, bulk.FormatOf(path), nobody); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is gone on with: %v", name, err)
		}
		if after, _ := os.ReadFile(path); string(after) != string(before) {
			t.Errorf("%s was changed", name)
		}
	}
	path := filepath.Join(dir, "mine.csv")
	first, err := bulk.Resume(path, bulk.CSV{}, nobody)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bulk.Resume(path, bulk.CSV{}, nobody); err == nil || !strings.Contains(err.Error(), "another run") {
		t.Errorf("two runs write one file: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := bulk.Create(filepath.Join(dir, "none", "r.csv"), bulk.CSV{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("in a folder that is not there: %v", err)
	}
}

func TestWhatIsDone(t *testing.T) {
	var d bulk.Done
	for i := range 1000 {
		d.Add(fmt.Sprint(i), "")
	}
	d.Add("bad", ocelli.CorruptImage)
	d.Add("worse", ocelli.GaveUp)
	d.Add("later", ocelli.Unavailable)
	d.Add("again", ocelli.Unavailable)
	d.Add("again", "")
	for name, want := range map[string]bool{"0": true, "999": true, "1000": false, "bad": true, "later": false, "again": true, "": false} {
		if got := d.Has(bulk.Item{Name: name}); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
	if d.Failed() != 2 {
		t.Errorf("%d failed", d.Failed())
	}
	if new(bulk.Done).Has(bulk.Item{Name: "x"}) {
		t.Error("nothing is done, and x is")
	}
}

func TestSidecars(t *testing.T) {
	dir := tree(t, map[string][]byte{"a.jpg": red, "b.jpg": red, "b.jpg.json": []byte(`{"title":"holiday"}`), "c.jpg": red})
	s := bulk.Sidecar{Suffix: ".json"}
	put := func(name string, r ocelli.Result) error {
		r.Name = name
		return s.Put(t.Context(), bulk.Local(filepath.Join(dir, name)), r)
	}
	a := bulk.Local(filepath.Join(dir, "a.jpg"))
	if done, _ := s.Has(a); done {
		t.Error("a sidecar is found where there is none")
	}
	for _, r := range some()[:1] {
		if err := errors.Join(put("a.jpg", r), put("a.jpg", r)); err != nil { // the second time it replaces its own
			t.Fatal(err)
		}
	}
	if done, failed := s.Has(a); !done || failed {
		t.Error("the sidecar is not found")
	}
	if err := put("b.jpg", some()[0]); ocelli.AsError(err) == nil || !strings.Contains(err.Error(), "was not written by Ocelli") {
		t.Errorf("beside a file of others: %v", err)
	}
	if text, _ := os.ReadFile(filepath.Join(dir, "b.jpg.json")); string(text) != `{"title":"holiday"}` {
		t.Errorf("the file of others reads %s", text)
	}
	for code, want := range map[ocelli.Code]bool{ocelli.Unavailable: false, ocelli.Cancelled: false, ocelli.Overloaded: false, ocelli.CorruptImage: true} {
		err := put("c.jpg", ocelli.Result{Labels: []ocelli.Label{}, Error: ocelli.Errorf(code, "no")})
		if done, failed := s.Has(bulk.Local(filepath.Join(dir, "c.jpg"))); err != nil || done != want || failed != want {
			t.Errorf("%s: done %v, failed %v, %v", code, done, failed, err)
		}
	}
	if err := s.Put(t.Context(), bulk.Item{Name: "https://example.org/x.jpg"}, some()[0]); ocelli.AsError(err) == nil {
		t.Errorf("beside a URL: %v", err)
	}
	entries, _ := os.ReadDir(dir)
	if len(entries) != 6 {
		t.Errorf("left behind: %v", entries)
	}
}

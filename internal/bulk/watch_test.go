package bulk_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ocelli/ocelli/internal/bulk"
)

// patience is how long something that happens outside of this process may take on a busy machine.
const patience = time.Minute

// watching runs a watch of dir, and returns what it finds.
func watching(t *testing.T, f *bulk.Finder, dir string) <-chan string {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	watched, err := f.Watch(dir)
	if err != nil {
		t.Fatal(err)
	}
	found, ended := make(chan string, 100), make(chan struct{})
	go func() {
		defer close(ended)
		for item, err := range watched(ctx) {
			if err != nil {
				t.Error(err)
			}
			found <- strings.TrimPrefix(item.Name, dir+"/")
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return found
}

// expect waits for names, in any order, and for no others.
func expect(t *testing.T, found <-chan string, names ...string) {
	t.Helper()
	wanted := map[string]bool{}
	for _, name := range names {
		wanted[name] = true
	}
	for deadline := time.After(patience); len(wanted) > 0; {
		select {
		case name := <-found:
			if !wanted[name] {
				t.Errorf("%s was found, want %v", name, names)
			}
			delete(wanted, name)
		case <-deadline:
			t.Fatalf("%v were not found", wanted)
		}
	}
}

func TestAWatchFindsWhatComes(t *testing.T) {
	dir := tree(t, map[string][]byte{"old.png": red, "sub/old.png": red})
	f := newFinder()
	f.Without = filepath.Join(dir, "copies")
	write(t, filepath.Join(dir, "copies", "x.png"), red)
	found := watching(t, f, dir)

	write(t, filepath.Join(dir, "new.png"), red)
	write(t, filepath.Join(dir, "sub/new.png"), red)
	write(t, filepath.Join(dir, "notes.txt"), []byte("no"))
	write(t, filepath.Join(dir, "copies/y.png"), red)
	expect(t, found, "new.png", "sub/new.png")

	// A folder that comes with what is in it, at once or bit by bit.
	elsewhere := filepath.Join(t.TempDir(), "album")
	write(t, filepath.Join(elsewhere, "deep/1.png"), red)
	if err := os.Rename(elsewhere, filepath.Join(dir, "album")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "fresh/er/2.png"), red)
	expect(t, found, "album/deep/1.png", "fresh/er/2.png")
	write(t, filepath.Join(dir, "album/deep/3.png"), red)
	expect(t, found, "album/deep/3.png")

	// As rsync and browsers do: under another name first.
	write(t, filepath.Join(dir, ".4.png.part"), red)
	if err := os.Rename(filepath.Join(dir, ".4.png.part"), filepath.Join(dir, "4.png")); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "gone.png"), red)
	if err := os.Remove(filepath.Join(dir, "gone.png")); err != nil {
		t.Fatal(err)
	}
	expect(t, found, "4.png")
	write(t, filepath.Join(dir, "new.png"), blue) // changed
	expect(t, found, "new.png")
}

// File managers make a folder under one name and give it its own at once.
func TestAWatchFollowsFoldersToTheirNewNames(t *testing.T) {
	dir := tree(t, map[string][]byte{"old/deep/old.png": red})
	found := watching(t, newFinder(), dir)
	if err := os.Rename(filepath.Join(dir, "old"), filepath.Join(dir, "new")); err != nil {
		t.Fatal(err)
	}
	expect(t, found, "new/deep/old.png")
	write(t, filepath.Join(dir, "new/1.png"), red)
	write(t, filepath.Join(dir, "new/deep/2.png"), red)
	write(t, filepath.Join(dir, "new/deep/er/3.png"), red)
	expect(t, found, "new/1.png", "new/deep/2.png", "new/deep/er/3.png")
}

func TestAWatchedFolderThatIsMadeAgainIsWatchedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "inbox")
	write(t, filepath.Join(dir, "sub/old.png"), red)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	watched, err := newFinder().Watch(dir + "/")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	seen, again := "", false
	for item, err := range watched(ctx) {
		switch {
		case err != nil && seen == "":
			seen = err.Error()
			write(t, filepath.Join(dir, "sub/1.png"), red)
		case err != nil:
			t.Error(err)
		case item.Name == filepath.Join(dir, "2.png"):
			again = true
			cancel()
		default:
			write(t, filepath.Join(dir, "2.png"), red)
		}
	}
	if !strings.Contains(seen, "inbox is gone") || !again {
		t.Errorf("told was %q; found again: %v", seen, again)
	}
}

// However slowly a file is written, it is not looked at before its writer has closed it.
func TestAWatchWaitsForTheWholeFile(t *testing.T) {
	dir := t.TempDir()
	found := watching(t, newFinder(), dir)
	f, err := os.Create(filepath.Join(dir, "slow.png"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(red[:40]); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "quick.png"), red)
	expect(t, found, "quick.png") // which came later, and needs as much rest
	write(t, filepath.Join(dir, "second.png"), red)
	expect(t, found, "second.png")
	if _, err := f.Write(red[40:]); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	expect(t, found, "slow.png")
}

func TestAFolderThatMayNotBeReadIsToldAndTheOthersAreWatched(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may read every folder")
	}
	dir := tree(t, map[string][]byte{"lost/x.png": red, "other/y.png": red})
	if err := os.Chmod(filepath.Join(dir, "lost"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "lost"), 0o700) })
	source, err := newFinder().Watch(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range source(t.Context()) {
		if err == nil || !strings.Contains(err.Error(), "/lost cannot be watched") {
			t.Errorf("got %v", err)
		}
		break
	}
}

func TestWhatCannotBeWatched(t *testing.T) {
	if _, err := newFinder().Watch(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "cannot be watched") {
		t.Errorf("got %v", err)
	}
}

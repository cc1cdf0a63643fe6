package models

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"testing"
)

// Nothing reads the whole of the default model at a start: its card is believed.
func TestTheCardIsOfTheDefaultModel(t *testing.T) {
	text, err := Files.ReadFile(Name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var card struct{ SHA256 string }
	if err := json.Unmarshal(text, &card); err != nil {
		t.Fatal(err)
	}
	if sum := fmt.Sprintf("%x", sha256.Sum256([]byte(Default))); card.SHA256 != sum {
		t.Errorf("the card is of a model with SHA-256 %q, the model's is %s: export it anew", card.SHA256, sum)
	}
}

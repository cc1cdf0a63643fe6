package rekognition

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ocelli/ocelli"
)

// response is DetectLabelsResponse. OrientationCorrection is left out, as Amazon does for pictures with EXIF data: orientation has been
// applied.
type response struct {
	Labels            []label
	LabelModelVersion string
}

// label is Label. A classifier does not say where in the picture something is, so there are never instances.
type label struct {
	Name       string
	Confidence float32 // percent
	Instances  []struct{}
	Parents    []named
	Aliases    []named
	Categories []named
}

type named struct{ Name string }

// labelsOf returns the labels of a picture and all their wider classes, as Amazon lists both, most certain first. A picture shows a wider
// class as surely as all the labels in it together: a terrier at 40 % and a hound at 50 % are a dog at 90 %.
func labelsOf(found []ocelli.Label) []label {
	sums := map[string]float64{}
	wider := map[string][]string{}
	for _, l := range found {
		line := append([]string{l.Name}, l.Parents...)
		for i, name := range line {
			if slices.Contains(line[:i], name) {
				continue
			}
			sums[name] += l.Score
			// What comes after a class in every label that it stands in is wider than it.
			if known, again := wider[name]; again {
				wider[name] = slices.DeleteFunc(known, func(n string) bool { return !slices.Contains(line[i+1:], n) })
			} else {
				wider[name] = slices.Clone(line[i+1:])
			}
		}
	}
	labels := make([]label, 0, len(sums))
	for name, sum := range sums {
		labels = append(labels, label{
			Name: title(name), Confidence: float32(100 * min(sum, 1)), Instances: []struct{}{}, Aliases: []named{},
			Parents: names(wider[name]), Categories: categoriesOf(append([]string{name}, wider[name]...)),
		})
	}
	slices.SortFunc(labels, func(a, b label) int {
		return cmp.Or(cmp.Compare(b.Confidence, a.Confidence), cmp.Compare(len(b.Parents), len(a.Parents)), strings.Compare(a.Name, b.Name))
	})
	return labels
}

func names(list []string) []named {
	all := make([]named, len(list))
	for i, name := range list {
		all[i].Name = title(name)
	}
	return all
}

// title writes the name of a label as Amazon does: "Golden Retriever", "Boat or Ship".
func title(name string) string {
	words := strings.Split(name, " ")
	for i, word := range words {
		if i > 0 && slices.Contains([]string{"a", "and", "in", "of", "on", "or", "the", "with"}, word) {
			continue
		}
		first, size := utf8.DecodeRuneInString(word)
		if size > 0 && first != utf8.RuneError {
			words[i] = string(unicode.ToUpper(first)) + word[size:]
		}
	}
	return strings.Join(words, " ")
}

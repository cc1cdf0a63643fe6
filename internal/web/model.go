package web

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/classify"
)

// Network is what is known of a model beyond its identity.
type Network struct {
	Card   *classify.Card // nil where it has none
	Labels []ocelli.Label // its classes, in the order of its scores
}

// modelView is the page of the model.
type modelView struct {
	*ocelli.Model // nil while nobody has told which one it is
	Card          *classify.Card
	Measured      []measured
	Find          string // words that Classes are searched for
	Classes       []class
	Total         int // classes of the model
}

// class is one thing that the model knows.
type class struct {
	ocelli.Label
	Kin   string
	Right *float64 // share of its pictures that were recognised, where that was measured
}

// measured is how good the model was on one collection of pictures.
type measured struct {
	On         string
	N          int64
	Top1, Top5 string
	ECE        string
	Source     string // where figures come from that were not measured here
	Plot       []dot  // nil where the card does not tell

	right map[string]float64 // share of the pictures of a class that were recognised, by its id
}

// dot is the bin of a calibration plot: of the pictures for which the model was so sure, so many were right.
type dot struct {
	N            int64
	Score, Right float64
	X, Y, R      float64 // in a square of 100
}

func (s *web) model(w http.ResponseWriter, r *http.Request) {
	find := strings.TrimSpace(r.URL.Query().Get("find"))
	s.show(w, r, http.StatusOK, page{Name: "model", Title: "Model", Body: s.viewModel(s.Status(r.Context()).Model, find)})
}

func (s *web) viewModel(model *ocelli.Model, find string) modelView {
	v := modelView{Model: model, Find: find}
	if model == nil || s.Network == nil {
		return v
	}
	network := s.Network(*model)
	if network == nil {
		return v
	}
	v.Card, v.Total = network.Card, len(network.Labels)
	right := map[string]float64{}
	if v.Card != nil {
		v.Measured = readMetrics(v.Card.Metrics)
		for _, m := range v.Measured {
			for id, share := range m.right {
				right[id] = share
			}
		}
	}
	for _, l := range network.Labels {
		c := class{Label: l, Kin: strings.Join(l.Parents, " · ")}
		if !strings.Contains(strings.ToLower(c.Name+" "+c.Kin), strings.ToLower(find)) {
			continue
		}
		if share, known := right[cmp.Or(l.ID, l.Name)]; known {
			c.Right = &share
		}
		v.Classes = append(v.Classes, c)
	}
	slices.SortStableFunc(v.Classes, func(a, b class) int { return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return v
}

// readMetrics reads what a card says was measured: the figures of one collection of pictures, or an object of them for each. What is
// written differently is left out, since nothing but a person ever reads it.
func readMetrics(metrics map[string]any) []measured {
	if m, ok := readMeasured(cmp.Or(text(metrics["data"]), "its own test pictures"), metrics); ok {
		return []measured{m}
	}
	var all []measured
	for name, value := range metrics {
		if figures, ok := value.(map[string]any); ok {
			if m, ok := readMeasured(name, figures); ok {
				all = append(all, m)
			}
		}
	}
	slices.SortFunc(all, func(a, b measured) int { return cmp.Or(cmp.Compare(b.N, a.N), cmp.Compare(a.On, b.On)) })
	return all
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

// figures are those of one collection, as `ocelli models eval --json` writes them; shares may also be percentages.
type figures struct {
	N           int64   `json:"n"`
	Top1        float64 `json:"top1"`
	Top5        float64 `json:"top5"`
	ECE         float64 `json:"ece"`
	PublishedAt string  `json:"published_at"`
	Calibration []struct {
		N     int64   `json:"n"`
		Score float64 `json:"score"`
		Right float64 `json:"right"`
	} `json:"calibration"`
	Classes map[string]float64 `json:"classes"`
}

func readMeasured(on string, values map[string]any) (measured, bool) {
	var f figures
	body, err := json.Marshal(values)
	if err != nil || json.Unmarshal(body, &f) != nil || f.Top1 <= 0 {
		return measured{}, false
	}
	m := measured{On: on, N: f.N, Top1: percent(share(f.Top1)), Source: f.PublishedAt, right: f.Classes}
	if f.Top5 > 0 {
		m.Top5 = percent(share(f.Top5))
	}
	if f.ECE > 0 {
		m.ECE = fmt.Sprintf("%.1f points", 100*f.ECE)
	}
	most := int64(1)
	for _, b := range f.Calibration {
		most = max(most, b.N)
	}
	for _, b := range f.Calibration {
		m.Plot = append(m.Plot, dot{N: b.N, Score: b.Score, Right: b.Right,
			X: 100 * b.Score, Y: 100 - 100*b.Right, R: 1.3 + 3*float64(b.N)/float64(most)})
	}
	return m, true
}

// share of something that may have been written as a percentage.
func share(x float64) float64 {
	if x > 1 {
		return x / 100
	}
	return x
}

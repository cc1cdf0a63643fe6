package web

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ocelli/ocelli"
)

const (
	bars      = 5    // labels that a card shows
	partCards = 1000 // cards of one page: larger jobs come in parts
)

// workbench is the page to upload pictures, with a job on it or none.
type workbench struct {
	Job  *jobView
	Host string // under which the visitor reached this server, for examples

	KeepImages time.Duration // as in [Config]
}

// Blank is an empty card, from which scripts make theirs.
func (workbench) Blank() card { return card{State: ocelli.ImageWaiting, Arc: "0 100"} }

// Remedies are what scripts know about errors.
func (workbench) Remedies() []remedy { return remedies }

// BlankBar is an empty bar for them.
func (workbench) BlankBar() ocelli.Label { return ocelli.Label{} }

// jobView is a job as the page shows it.
type jobView struct {
	*ocelli.Job
	Cards    []card
	Headline string
	Arc      string     // of the ring that shows how much has ended, as a dash pattern over a length of 100
	Pictures *time.Time // until when they are kept; nil is as long as the job
	Bare     bool       // that is over
	Parts    []part     // none where one page holds all
}

// part is one page of a large job.
type part struct {
	First, Last int // places of its cards
	URL         string
	Current     bool
}

// card is one picture of a job.
type card struct {
	ID      ocelli.ImageID
	Place   int // in the order of upload, from 1
	Name    string
	State   ocelli.ImageState
	Label   string // the best label, or what happens instead
	Score   float64
	Arc     string
	Kin     string // the parents of the best label
	Bars    []ocelli.Label
	Problem string // one sentence where the image failed; it begins with the image's name
	Todo    string // one sentence: what can be done about it
	Code    ocelli.Code
	Kept    bool // its bytes can be shown
}

// viewJob shows the part of a job that is asked for, from 1; where there is no such part, the first.
func viewJob(job *ocelli.Job, asked int, keepImages time.Duration) *jobView {
	ended := job.Done + job.Failed
	v := &jobView{Job: job, Headline: headline(job), Arc: arc(float64(ended) / float64(max(job.Total, 1)))}
	if at := job.Created.Add(keepImages); keepImages > 0 && (job.Expires == nil || at.Before(*job.Expires)) {
		v.Pictures, v.Bare = &at, job.Finished() && time.Now().After(at)
	}
	first := (asked - 1) * partCards
	if first < 0 || first >= job.Total {
		first = 0
	}
	last := min(first+partCards, job.Total)
	for i, image := range job.Images[first:last] {
		c := viewImage(first+i+1, image)
		c.Kept = c.Kept && !v.Bare
		v.Cards = append(v.Cards, c)
	}
	if job.Total > partCards {
		for at := 0; at < job.Total; at += partCards {
			url := fmt.Sprintf("%s?part=%d", job.Links.Page, at/partCards+1)
			v.Parts = append(v.Parts, part{at + 1, min(at+partCards, job.Total), url, at == first})
		}
	}
	return v
}

// here is the address of the page.
func (v *jobView) here() string {
	for _, p := range v.Parts {
		if p.Current {
			return p.URL
		}
	}
	return v.Links.Page
}

func viewImage(place int, image ocelli.ImageStatus) card {
	c := card{ID: image.ID, Place: place, Name: image.Name, State: image.State, Arc: "0 100", Kept: true}
	switch {
	case image.Error != nil:
		known := remedyOf(image.Error.Code)
		c.Label, c.Problem, c.Todo = "not recognised", strings.TrimSuffix(image.Error.Message, ".")+".", known.Todo
		c.Code, c.Kept = image.Error.Code, known.Kept
	case image.Result != nil && len(image.Result.Labels) > 0:
		best := image.Result.Labels[0]
		c.Label, c.Score, c.Arc = best.Name, best.Score, arc(best.Score)
		c.Kin = strings.Join(best.Parents, " · ")
		c.Bars = image.Result.Labels[:min(bars, len(image.Result.Labels))]
	case image.State == ocelli.ImageRunning:
		c.Label = "recognising …"
	default:
		c.Label = "queued"
	}
	return c
}

// arc is a share of a circle whose length is 100, as a dash pattern. A whole one overlaps its own seam.
func arc(share float64) string {
	if share >= 1 {
		return "101 100"
	}
	return fmt.Sprintf("%.1f 100", 100*share)
}

func headline(job *ocelli.Job) string {
	pictures := "pictures"
	if job.Total == 1 {
		pictures = "picture"
	}
	switch {
	case job.State == ocelli.JobCancelled:
		return fmt.Sprintf("Cancelled after %d of %d %s", job.Done, job.Total, pictures)
	case !job.Finished():
		return fmt.Sprintf("%d of %d %s recognised", job.Done, job.Total, pictures)
	case job.Failed == 1 && job.Total == 1:
		return "The picture was not recognised"
	case job.Failed == job.Total && job.Total > 0:
		return fmt.Sprintf("None of %d %s recognised", job.Total, pictures)
	case job.Failed > 0:
		return fmt.Sprintf("%d of %d %s recognised, %d not", job.Done, job.Total, pictures, job.Failed)
	}
	return fmt.Sprintf("%d %s recognised", job.Total, pictures)
}

// refreshOf tells a browser without JavaScript when to look again: large pages less often.
func refreshOf(v *jobView) *refresh {
	seconds := 2
	if v.Total > 100 {
		seconds = 10
	}
	return &refresh{Seconds: seconds, URL: v.here()}
}

// asSentence makes a message fit to stand alone.
func asSentence(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	text = strings.TrimSuffix(text, ".") + "."
	return string(unicode.ToUpper(first)) + text[size:]
}

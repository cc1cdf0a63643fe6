package web_test

import (
	"net/http"
	"strings"
	"testing"
)

func TestTheDescriptionForProgramsHasEveryCallAndItsOwnPlaceForEachType(t *testing.T) {
	answer := newSite(t, 10).get("/docs")
	text := answer.Body.String()
	if answer.Code != http.StatusOK {
		t.Fatalf("%d: %.300s", answer.Code, text)
	}
	for _, want := range []string{
		"/v1/classify", "/v1/jobs/{id}/events", `id="type-Label"`, `href="#type-Job"`, `href="/openapi.json"`, "curl -F image=@photo.jpg",
		"probability, 0 to 1", // the comment of a field
		"<code>Accept: application/x-ndjson</code>",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for _, link := range strings.Split(text, `href="#type-`)[1:] {
		name, _, _ := strings.Cut(link, `"`)
		if !strings.Contains(text, `id="type-`+name+`"`) {
			t.Errorf("the page links to the type %s, which it does not have", name)
		}
	}
}

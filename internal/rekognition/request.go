package rekognition

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/ocelli/ocelli/internal/intake"
)

const (
	generalLabels   = "GENERAL_LABELS"
	imageProperties = "IMAGE_PROPERTIES"

	defaultConfidence = 55.0
	mostLabels        = 1000
	mostFilters       = 100 // of one kind
	mostFilterLength  = 50  // characters
)

// request is DetectLabelsRequest.
type request struct {
	Image         image
	MaxLabels     *int
	MinConfidence *float64
	Features      intake.List[string]
	Settings      struct {
		GeneralLabels   filters
		ImageProperties *json.RawMessage
	}
}

type image struct {
	Bytes    []byte
	S3Object *s3Object
}

type s3Object struct{ Bucket, Name, Version string }

// filters are GeneralLabelsSettings.
type filters struct {
	LabelInclusionFilters, LabelExclusionFilters                 intake.List[string]
	LabelCategoryInclusionFilters, LabelCategoryExclusionFilters intake.List[string]
}

var (
	bucketName = regexp.MustCompile(`^[0-9A-Za-z._-]{3,255}$`)
	filterText = regexp.MustCompile(`^[A-Za-z0-9àâèçñó'\-_(). ]*$`)
)

// parse reads a request and checks it. Its errors are faults.
func parse(body []byte) (*request, error) {
	var req request
	if err := json.Unmarshal(body, &req); err != nil {
		var wrong *json.UnmarshalTypeError
		if errors.As(err, &wrong) {
			return nil, faultf(serialization, "%s is a %s, which is not what belongs there", wrong.Field, wrong.Value)
		}
		return nil, faultf(serialization, "the request is not JSON, or its Bytes are not base64: %v", err)
	}
	if err := req.Image.check(); err != nil {
		return nil, err
	}
	if n := req.MaxLabels; n != nil && *n < 0 {
		return nil, faultf(invalidParameter, "MaxLabels is %d: give 0 to %d", *n, mostLabels)
	}
	if c := req.MinConfidence; c != nil && (*c < 0 || *c > 100) {
		return nil, faultf(invalidParameter, "MinConfidence is %g: give 0 to 100", *c)
	}
	for _, f := range req.Features {
		if f == imageProperties {
			return nil, faultf(invalidParameter, "%s is not offered here: ask for %s only", imageProperties, generalLabels)
		}
		if f != generalLabels {
			return nil, faultf(invalidParameter, "Features has %.40q: the one that is offered here is %s", f, generalLabels)
		}
	}
	if req.Settings.ImageProperties != nil && string(*req.Settings.ImageProperties) != "null" {
		return nil, faultf(invalidParameter, "Settings has ImageProperties, and %s is not offered here: leave it out", imageProperties)
	}
	return &req, req.Settings.GeneralLabels.check()
}

func (i image) check() error {
	switch o := i.S3Object; {
	case o == nil && len(i.Bytes) == 0:
		return faultf(invalidParameter, "Image is missing: give Bytes or S3Object")
	case o == nil && len(i.Bytes) > mostBytes:
		return faultf(imageTooLarge, "the image has %d bytes, and %d are the limit for Bytes: make it smaller, or put it into a bucket", len(i.Bytes), mostBytes)
	case o == nil:
		return nil
	case len(i.Bytes) > 0:
		return faultf(invalidParameter, "Image has Bytes and S3Object: give one of them")
	case !bucketName.MatchString(o.Bucket):
		return faultf(invalidParameter, "%.80q is not the name of a bucket", o.Bucket)
	case o.Name == "" || len(o.Name) > 1024:
		return faultf(invalidParameter, "S3Object has a Name of %d bytes: give the key of the object, 1 to 1024", len(o.Name))
	case o.Version != "":
		return faultf(invalidS3Object, "versions of objects cannot be asked for here: leave Version out")
	}
	return nil
}

func (f filters) check() error {
	for _, list := range [][]string{f.LabelInclusionFilters, f.LabelExclusionFilters, f.LabelCategoryInclusionFilters, f.LabelCategoryExclusionFilters} {
		if len(list) > mostFilters {
			return faultf(invalidParameter, "a filter lists %d names: %d are the limit", len(list), mostFilters)
		}
		for _, text := range list {
			if utf8.RuneCountInString(text) > mostFilterLength || !filterText.MatchString(text) {
				return faultf(invalidParameter, "%.60q is not possible in a filter: give names of up to %d letters, digits and spaces", text, mostFilterLength)
			}
		}
	}
	return nil
}

// allows reports whether a label passes the filters: it, or its category, is on a list of what to include, where there is one, and neither is
// on a list of what to exclude.
func (f filters) allows(l label) bool {
	in := func(list []string, name string) bool {
		return slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
	}
	inCategories := func(list []string) bool {
		return slices.ContainsFunc(l.Categories, func(c named) bool { return in(list, c.Name) })
	}
	if len(f.LabelInclusionFilters)+len(f.LabelCategoryInclusionFilters) > 0 &&
		!in(f.LabelInclusionFilters, l.Name) && !inCategories(f.LabelCategoryInclusionFilters) {
		return false
	}
	return !in(f.LabelExclusionFilters, l.Name) && !inCategories(f.LabelCategoryExclusionFilters)
}

// choose returns what the request asks for of the labels, which come most certain first.
func (r *request) choose(labels []label) []label {
	least := defaultConfidence
	if r.MinConfidence != nil {
		least = *r.MinConfidence
	}
	most := mostLabels
	if r.MaxLabels != nil {
		most = min(*r.MaxLabels, mostLabels)
	}
	chosen := []label{}
	for _, l := range labels {
		if len(chosen) < most && float64(l.Confidence) >= least && r.Settings.GeneralLabels.allows(l) {
			chosen = append(chosen, l)
		}
	}
	return chosen
}

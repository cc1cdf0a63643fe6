package main

import (
	"sync"

	"github.com/ocelli/ocelli"
	"github.com/ocelli/ocelli/internal/catalog"
	"github.com/ocelli/ocelli/internal/classify"
	"github.com/ocelli/ocelli/internal/classify/onnx"
	"github.com/ocelli/ocelli/internal/web"
	"github.com/ocelli/ocelli/models"
)

// networks tells people more about the models that this binary can know: its own, that of the settings, and those of the catalog.
type networks struct {
	settings []modelSettings
	known    sync.Map // SHA-256 of a model file to its *web.Network, or nil
}

// find returns what is known of a model beyond its identity, or nil. It reads files at the first question for each model.
func (n *networks) find(model ocelli.Model) *web.Network {
	if known, ok := n.known.Load(model.SHA256); ok {
		return known.(*web.Network)
	}
	found := n.look(model)
	n.known.Store(model.SHA256, found)
	return found
}

func (n *networks) look(model ocelli.Model) *web.Network {
	for _, s := range n.settings {
		if s.model == echoModel {
			continue
		}
		o, err := modelOptions(s.model, s.card)
		if err != nil {
			continue
		}
		info, err := onnx.Inspect(o)
		if err == nil && info.Problem == nil && info.SHA256 == model.SHA256 {
			return &web.Network{Card: o.Card, Labels: info.Spec.Labels}
		}
	}
	c, err := catalog.Load(models.Files)
	if err != nil {
		return nil
	}
	e := c.BySHA256(model.SHA256)
	if e == nil {
		return nil
	}
	labels, _ := classify.KnownLabels(e.Card.Labels.Set) // without a known set there are none to show
	return &web.Network{Card: &e.Card, Labels: labels}
}

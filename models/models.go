// Package models holds the data of this folder: the default model with its card, the labels and the catalog of public
// models.
package models

import "embed"

// Files are catalog.json, the labels and, once it is trained, the default model: NAME.onnx with its card NAME.json.
//
//go:embed *.[jo][sn][on][nx] labels/*.json
var Files embed.FS

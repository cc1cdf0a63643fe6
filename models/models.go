// Package models holds the data of this folder: the default model with its card, the labels and the catalog of public
// models.
package models

import "embed"

// Files are catalog.json, and as far as they are there NAME.onnx with NAME.json, and labels.
//
//go:embed catalog.json
var Files embed.FS

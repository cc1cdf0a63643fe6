// Package models holds the data of this folder: the default model with its card, the labels and the catalog of public
// models.
package models

import "embed"

// Files are catalog.json, the labels, and the default model: NAME.onnx with its card NAME.json.
//
//go:embed *.json *.onnx labels/*.json
var Files embed.FS

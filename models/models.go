// Package models holds the data of this folder: the default model with its card, the labels and the catalog of public
// models.
package models

import "embed"

// Files are catalog.json, the labels, and NAME.json, the card of the default model.
//
//go:embed *.json labels/*.json
var Files embed.FS

// Name is the name of the default model.
const Name = "ocelli-200"

// Default is the default model, as an ONNX file. It lies in the program's file and takes no memory until it is read.
//
//go:embed ocelli-200.onnx
var Default string

#!/usr/bin/env bash
# Packs dist/ocelli-VERSION-linux-ARCH: one file that runs on any Linux with glibc 2.34 and libstdc++. ONNX Runtime is inside,
# compressed; libjpeg-turbo is linked statically; `ocelli version --licenses` prints the licences of everything in it.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${VERSION:=development}"
library=${OCELLI_ONNXRUNTIME:-.deps/onnxruntime/libonnxruntime.so.1}
out=dist/ocelli-$VERSION-linux-$(go env GOARCH)

mkdir -p dist
go run ./internal/ortlib/pack "$library"
scripts/licenses.sh > cmd/ocelli/licenses.txt
go build -trimpath -tags dist,nodynamic -ldflags "-s -w -X github.com/ocelli/ocelli.version=$VERSION" -o "$out" ./cmd/ocelli
(cd dist && sha256sum "$(basename "$out")" > "$(basename "$out").sha256")
cp cmd/ocelli/licenses.txt "$out.licenses.txt"
# For packages: man pages, and completions of the common shells.
rm -rf dist/man dist/completions && mkdir -p dist/completions
"$out" man dist/man
for shell in bash zsh fish; do "$out" completion $shell > dist/completions/ocelli.$shell; done
ls -lh "$out"*

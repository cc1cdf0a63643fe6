#!/usr/bin/env bash
# Prints the licences of everything that is linked into a release: Go modules, libjpeg-turbo, ONNX Runtime.
set -euo pipefail
cd "$(dirname "$0")/.."

title() { printf '\n%s\n%s\n%s\n\n' "$(printf '=%.0s' {1..78})" "$1" "$(printf '=%.0s' {1..78})"; }

title "Ocelli"; cat LICENSE
title "Go (https://go.dev)"; cat "$(go env GOROOT)/LICENSE"
go list -deps -f '{{with .Module}}{{if not .Main}}{{.Path}} {{.Version}} {{.Dir}}{{end}}{{end}}' ./cmd/ocelli | sort -u |
  while read -r path version dir; do
    title "$path $version"
    files=$(find "$dir" -maxdepth 1 -type f \( -iname 'LICENSE*' -o -iname 'LICENCE*' -o -iname 'COPYING*' -o -iname 'NOTICE*' \) | sort)
    [ -n "$files" ] || { echo "licenses: $path has no licence file: look at it before it is shipped" >&2; exit 1; }
    while read -r file; do cat "$file"; echo; done <<< "$files"
  done
title "libjpeg-turbo (https://libjpeg-turbo.org), from Debian"; cat /usr/share/doc/libjpeg62-turbo-dev/copyright
title "ONNX Runtime 1.27.0 (https://onnxruntime.ai)"
cat <<'TXT'
MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated documentation
files (the "Software"), to deal in the Software without restriction, including without limitation the rights to use, copy,
modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the
Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE,
ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.

The notices of what ONNX Runtime itself contains: https://github.com/microsoft/onnxruntime/blob/v1.27.0/ThirdPartyNotices.txt
TXT

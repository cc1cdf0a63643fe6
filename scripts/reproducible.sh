#!/usr/bin/env bash
# Builds the committed state twice, in two folders and from two empty caches, and fails unless both binaries are the same, byte by byte.
set -euo pipefail
cd "$(dirname "$0")/.."
tmp=$(mktemp -d)
trap 'chmod -R u+w "$tmp"; rm -rf "$tmp"' EXIT
for name in one another/and/deeper; do
  mkdir -p "$tmp/$name"
  git archive HEAD | tar -x -C "$tmp/$name"
  echo "building in $name"
  (cd "$tmp/$name" && GOCACHE="$tmp/cache-$(basename "$name")" GOFLAGS='' \
    go build -trimpath -buildvcs=false -tags nodynamic -ldflags "-s -w -X github.com/ocelli/ocelli.version=check" -o ocelli ./cmd/ocelli)
done
sha256sum "$tmp/one/ocelli" "$tmp/another/and/deeper/ocelli" | sed "s#$tmp/##"
cmp "$tmp/one/ocelli" "$tmp/another/and/deeper/ocelli" && echo "both are the same"

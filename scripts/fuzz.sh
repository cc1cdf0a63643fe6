#!/usr/bin/env bash
# Fuzzes every Fuzz… function of the repository, one after another, for FUZZTIME each.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${FUZZTIME:=20s}"
grep -rlE '^func Fuzz' --include='*_test.go' . | sort | while read -r file; do
  sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$file" | while read -r target; do
    echo "== $(dirname "$file") $target"
    go test -run='^$' -fuzz="^$target\$" -fuzztime="$FUZZTIME" "$(dirname "$file")"
  done
done

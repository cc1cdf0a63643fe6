#!/usr/bin/env bash
# Fuzzes every Fuzz… function of the repository, one after another, for FUZZTIME each, or for FUZZTOTAL seconds together, and prints how long
# each was fuzzed. FUZZFLAGS are passed on: -parallel=1 leaves room for others.
set -euo pipefail
cd "$(dirname "$0")/.."
: "${FUZZTIME:=20s}" "${FUZZTOTAL:=}" "${FUZZFLAGS:=}"

targets=$(git grep -hE '^func Fuzz' -- '*_test.go' | wc -l)
[ -z "$FUZZTOTAL" ] || FUZZTIME=$(( (FUZZTOTAL + targets - 1) / targets ))s
table=$(mktemp)
trap 'rm -f "$table"' EXIT

git grep -lE '^func Fuzz' -- '*_test.go' | while read -r file; do
  sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$file" | while read -r target; do
    package=./$(dirname "$file")
    echo "== $package $target for $FUZZTIME"
    began=$SECONDS
    # shellcheck disable=SC2086 # the flags are words
    go test -run='^$' -fuzz="^$target\$" -fuzztime="$FUZZTIME" $FUZZFLAGS "$package" | tee >(cat >&2) |
      sed -nE 's/.*elapsed: ([0-9hms]+), execs: ([0-9]+).*/\1 \2/p' | tail -1 | {
        read -r elapsed execs || { elapsed=$((SECONDS - began))s; execs=0; }
        seconds=$(awk -F'[hms]' '{ s = 0; for (i = 1; i < NF; i++) s = s * 60 + $i; print s }' <<< "$elapsed")
        printf '%6s s  %10s runs  %s %s\n' "$seconds" "$execs" "$package" "$target" >> "$table"
      }
  done
done
echo
cat "$table"
awk '{ s += $1; r += $3 } END { printf "%6d s  %10d runs  %d targets, no crash\n", s, r, NR }' "$table"

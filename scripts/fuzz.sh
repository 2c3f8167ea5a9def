#!/usr/bin/env bash
# Runs every fuzz target of the module for a while, one after another:
#
#   scripts/fuzz.sh 5s              all of them
#   scripts/fuzz.sh 10m ./codec     those of one package
#
# A failing input is written to testdata/fuzz of its package: commit it.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:?usage: $0 TIME [PACKAGE...]}
shift
[ $# -gt 0 ] || set -- ./...

total=0
for pkg in $(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.ImportPath}}{{end}}' "$@"); do
  # Compiling a test binary only to list it costs more than looking.
  dir=$(go list -f '{{.Dir}}' "$pkg")
  grep -qsE '^func Fuzz' "$dir"/*_test.go || continue
  for target in $(go test -list '^Fuzz' "$pkg" | grep '^Fuzz'); do
    echo "fuzz $pkg $target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" "$pkg"
    total=$((total + 1))
  done
done
echo "fuzzed $total targets for $time each"
[ "$total" -gt 0 ]

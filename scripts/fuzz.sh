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

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# fuzz runs one target. Up to Go 1.26 the end of -fuzztime can be reported as a
# failure, "context deadline exceeded", though no input failed
# (https://go.dev/issue/75804): that, and only that, is tried once more.
fuzz() { # package target
  for try in 1 2; do
    if go test -run '^$' -fuzz "^$2\$" -fuzztime "$time" "$1" 2>&1 | tee "$log"; then
      return 0
    fi
    grep -q 'context deadline exceeded' "$log" || return 1
    ! grep -qE 'Failing input|panic:|_test\.go:' "$log" || return 1
    echo "go.dev/issue/75804 (try $try)"
  done
  return 1
}

total=0
while read -r dir pkg; do
  for target in $(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$dir"/*_test.go 2>/dev/null); do
    echo "fuzz $pkg $target"
    fuzz "$pkg" "$target"
    total=$((total + 1))
  done
done < <(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}} {{.ImportPath}}{{end}}' "$@")
echo "fuzzed $total targets for $time each"
[ "$total" -gt 0 ]

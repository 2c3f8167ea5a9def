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

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cache=$(go env GOCACHE)/fuzz

# fuzz runs one target of the test binary. Up to Go 1.26 the end of -fuzztime
# can be reported as a failure, "context deadline exceeded", though no input
# failed (https://go.dev/issue/75804): that, and only that, is tried once more.
fuzz() { # directory package target
  for try in 1 2; do
    if (cd "$1" && "$work/test" -test.run '^$' -test.fuzz "^$3\$" -test.fuzztime "$time" \
      -test.fuzzcachedir "$cache/$2") 2>&1 | tee "$work/log"; then
      return 0
    fi
    grep -q 'context deadline exceeded' "$work/log" || return 1
    ! grep -qE 'Failing input|panic:|_test\.go:' "$work/log" || return 1
    echo "go.dev/issue/75804 (try $try)"
  done
  return 1
}

total=0
while read -r dir pkg; do
  targets=$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$dir"/*_test.go)
  [ -n "$targets" ] || continue
  go test -c -fuzz . -o "$work/test" "$pkg" # -fuzz: instrumented for coverage
  for target in $targets; do
    echo "fuzz $pkg $target"
    fuzz "$dir" "$pkg" "$target"
    total=$((total + 1))
  done
done < <(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}} {{.ImportPath}}{{end}}' "$@")
echo "fuzzed $total targets for $time each"
[ "$total" -gt 0 ]

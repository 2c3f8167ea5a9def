#!/usr/bin/env bash
# Runs every fuzz target of the module with so many inputs or for a while, as many
# at a time as there are processors, each with one worker:
#
#   scripts/fuzz.sh 10000x          all of them
#   scripts/fuzz.sh 10m ./codec     those of one package
#
# A failing input is written to testdata/fuzz of its package: commit it. Go ends
# a target that hangs in an input without a word when its time is over; here it
# fails: one of so many inputs by not ending in HANG, one with a time by three
# seconds without an input.
set -euo pipefail
readonly HANG=${HANG:-300s}

# hangs reports whether what a target prints every three seconds says that it had
# no input in them, or never came to one of its own.
hangs() {
  awk -F'elapsed: |s, | \\(' '/elapsed:/ { if ($3 == before && $2 - at >= 3) hung = 1; at = $2; before = $3 } END { exit !(hung || before !~ /execs/) }' "$1"
}

# With the name of a package and of a target it is what xargs below starts. Up
# to Go 1.26 the end of -fuzztime can be reported as a failure, "context deadline
# exceeded", though no input failed (https://go.dev/issue/75804): that, and only
# that, is tried once more.
if [ "${1:-}" = --target ]; then
  work=$2 cache=$3 time=$4 dir=$5 pkg=$6 target=$7
  [ ! -e "$work/failed" ] || exit 0
  log=$work/$(basename "$pkg").$target.log
  limit=()
  [[ $time != *x ]] || ! command -v timeout >/dev/null || limit=(timeout "$HANG") # which ends the worker too
  # Minimizing what is new takes up to a minute of the time if one lets it.
  for try in 1 2; do
    code=0
    (cd "$dir" && "${limit[@]}" "$work/$(basename "$pkg").test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$time" \
      -test.fuzzminimizetime 10x -test.parallel 1 -test.fuzzcachedir "$cache/$pkg") >"$log" 2>&1 || code=$?
    if [ "$code" -eq 124 ]; then
      echo "$target has not ended after $HANG: an input hangs" >>"$log"
    elif [[ $code -eq 0 && $time != *x ]] && hangs "$log"; then
      code=1
      echo "$target took no input for three seconds: the one before hangs" >>"$log"
    fi
    [ "$code" -ne 0 ] || break
    grep -q 'context deadline exceeded' "$log" || break
    ! grep -qE 'Failing input|panic:|_test\.go:' "$log" || break
    echo "$target: go.dev/issue/75804 (try $try)"
  done
  echo "fuzz $pkg $target"$'\n'"$(cat "$log")" # in one piece, for others write too
  [ "$code" -ne 0 ] || exit 0
  touch "$work/failed" # none begins any more; 255 would end xargs at once, and leave those that run alone
  exit 1
fi

cd "$(dirname "$0")/.."
time=${1:?usage: $0 TIME [PACKAGE...]}
shift
[ $# -gt 0 ] || set -- ./...

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

pkgs=()
while read -r dir pkg; do
  targets=$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$dir"/*_test.go)
  [ -n "$targets" ] || continue
  pkgs+=("$pkg")
  for target in $targets; do
    echo "$dir $pkg $target" >>"$work/targets"
  done
done < <(go list -f '{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}} {{.ImportPath}}{{end}}' "$@")
[ ${#pkgs[@]} -gt 0 ] || { echo "$0: no fuzz target in $*" >&2; exit 1; }

# Our own packages are instrumented for coverage, and no others: -fuzz would
# build the standard library and all that we use once more, and then spend most
# of its time on counters that no input of ours moves.
go test -c -vet=off -gcflags="$(go list -m)/...=-d=libfuzzer" -ldflags='-s -w' -o "$work/" "${pkgs[@]}"

jobs=$(getconf _NPROCESSORS_ONLN)
xargs -n 3 -P "$jobs" scripts/fuzz.sh --target "$work" "$(go env GOCACHE)/fuzz" "$time" <"$work/targets"
echo "fuzzed $(wc -l <"$work/targets" | tr -d ' ') targets for $time each, $jobs at a time"

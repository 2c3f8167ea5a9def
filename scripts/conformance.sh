#!/usr/bin/env bash
# Runs the public MCP conformance suites against the example servers and holds
# the results to scripts/conformance/expected.json, check by check: one that
# fails, warns or is no longer made is an error.
#
#   scripts/conformance.sh                    both suites, all servers
#   scripts/conformance.sh --json             the same, for machines
#   scripts/conformance.sh --server native    one server: native, gosdk
#   scripts/conformance.sh server-stateless   one scenario, with every check
#
# The suites and, where needed, Node come from npm in pinned versions and are
# kept under .cache. What the suites saw is written to results/conformance.
set -euo pipefail
cd "$(dirname "$0")/.."

# The servers: name in expected.json, directory of their main package.
servers=(native examples/conformance gosdk examples/gosdk/conformance)

args=() chosen=
while [ $# -gt 0 ]; do
  case $1 in
    --json) args+=(--json) ;;
    --server) chosen=${2:?--server needs a name}; shift ;;
    -h | --help) sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "$0"; exit ;;
    -*) echo "$0: unknown option $1 (see --help)" >&2; exit 2 ;;
    *) args+=("$1") ;;
  esac
  shift
done

for tool in go npm; do
  command -v "$tool" >/dev/null || { echo "$0: $tool is missing" >&2; exit 1; }
done
node=$(scripts/node.sh)

cache=$PWD/.cache/conformance
if ! cmp -s scripts/conformance/package-lock.json "$cache/installed"; then
  echo "installing the conformance suites under .cache/conformance" >&2
  mkdir -p "$cache"
  cp scripts/conformance/{package.json,package-lock.json,.npmrc} "$cache/"
  (cd "$cache" && npm ci --no-audit --no-fund --loglevel=error) >&2
  cp scripts/conformance/package-lock.json "$cache/installed" # last: says that all is there
fi

set -- "${servers[@]}"
while [ $# -gt 0 ]; do
  name=$1 dir=$2
  shift 2
  [ -z "$chosen" ] || [ "$chosen" = "$name" ] || continue
  (cd "$dir" && go build -o "$cache/bin/$name" .)
  args+=(--server "$name=$cache/bin/$name")
done

exec "$node" scripts/conformance/run.mjs --suites "$cache/node_modules" --results results/conformance ${args[@]+"${args[@]}"}

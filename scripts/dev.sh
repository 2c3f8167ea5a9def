#!/usr/bin/env bash
# Serves from the sources: builds, serves with debug logging, and when a Go file
# changes builds anew and, if that works, starts the new program in the place of
# the old one. Flags are those of serve. Ctrl-C ends it.
#
#   scripts/dev.sh --tcp 127.0.0.1:7600
set -euo pipefail
cd "$(dirname "$0")/.."

bin=$PWD/.cache/dev/rookery
stamp=$PWD/.cache/dev/stamp
mkdir -p .cache/dev
node=''

stop() {
  [ -n "$node" ] || return 0
  kill -TERM "$node" 2>/dev/null || true
  wait "$node" || true
  node=''
}
trap 'stop; exit 0' INT TERM
trap 'stop' EXIT

# changed: whether a source is newer than the last build began.
changed() {
  [ ! -e "$stamp" ] || [ -n "$(find . \( -name .cache -o -name .git -o -name node_modules -o -name testdata \) -prune \
    -o \( -name '*.go' -o -name go.mod -o -name go.sum -o -name '*.json' -o -name '*.tmpl' \) -newer "$stamp" -print | head -n 1)" ]
}

rm -f "$stamp"
while :; do
  if changed; then
    touch "$stamp"
    echo "dev: building" >&2
    if go build -trimpath -o "$bin.new" ./cmd/rookery; then
      stop
      mv "$bin.new" "$bin"
      "$bin" serve --log-level debug "$@" &
      node=$!
      echo "dev: serving, pid $node; waiting for changes" >&2
    else
      echo "dev: it does not build; ${node:+the node of before serves on, }waiting for changes" >&2
    fi
  fi
  if [ -n "$node" ] && ! kill -0 "$node" 2>/dev/null; then
    wait "$node" && code=0 || code=$?
    echo "dev: the node has ended with status $code; waiting for changes" >&2
    node=''
  fi
  sleep 0.5
done

#!/usr/bin/env bash
# Runs a command and ends it, and all that it started, when it takes too long:
#
#   scripts/within.sh SECONDS COMMAND...
set -euo pipefail
seconds=${1:?usage: $0 SECONDS COMMAND...}
shift
set -m # the command gets a process group, by which it is ended
"$@" &
command=$!
trap 'kill -TERM -- -$command 2>/dev/null; exit 130' INT TERM
while kill -0 "$command" 2>/dev/null; do
  if [ "$SECONDS" -ge "$seconds" ]; then
    kill -TERM -- "-$command" 2>/dev/null || true
    echo "${0##*/}: it took longer than $seconds s and was ended: $*" >&2
    exit 1
  fi
  sleep 0.5
done
code=0
wait "$command" || code=$?
[ "$code" -ne 0 ] || echo "done within $SECONDS of $seconds s"
exit "$code"

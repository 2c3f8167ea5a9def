#!/usr/bin/env bash
# Stops the nodes that start-cluster.sh has started, or those that are named:
# SIGTERM, and SIGKILL for what still runs after PATIENCE. Only processes in pid
# files are touched, and only if they are the ones that were started.
#
#   scripts/stop-cluster.sh                  all of them
#   scripts/stop-cluster.sh n2               one
#   PORT_BASE=8600 scripts/stop-cluster.sh   those of the second cluster
#
# PORT_BASE, STATE_DIR   as for start-cluster.sh
# PATIENCE               seconds for calls in flight to finish; 20
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/cluster-lib.sh
. scripts/cluster-lib.sh

case ${1:-} in
  -h | --help) sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "$0"; exit ;;
  -*) echo "$0: unknown option $1 (see --help)" >&2; exit 2 ;;
esac
if [ $# -eq 0 ]; then
  # shellcheck disable=SC2046 # names have no blanks
  set -- $(nodes)
  [ $# -gt 0 ] || { echo "no node was started in $STATE_DIR"; exit; }
fi

running=()
for name in "$@"; do
  [ -e "$STATE_DIR/$name.pid" ] || die "there is no $STATE_DIR/$name.pid"
  if pid=$(pid_of "$name") && kill -TERM "$pid" 2>/dev/null; then
    running+=("$name")
  else
    echo "$name had ended"
    rm -f "$STATE_DIR/$name.pid"
  fi
done

code=0 deadline=$((SECONDS + ${PATIENCE:-20}))
for name in ${running[@]+"${running[@]}"}; do
  while pid=$(pid_of "$name"); do
    if [ "$SECONDS" -ge "$deadline" ]; then
      kill -KILL "$pid" 2>/dev/null && echo "${0##*/}: $name did not end within ${PATIENCE:-20} s and was killed" >&2
      code=1
      deadline=$((SECONDS + ${PATIENCE:-20}))
    fi
    sleep 0.1
  done
  rm -f "$STATE_DIR/$name.pid"
  echo "$name has ended"
done
exit $code

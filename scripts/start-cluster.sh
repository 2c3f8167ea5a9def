#!/usr/bin/env bash
# Starts a cluster of nodes on this machine as daemons, and returns when they
# have found each other. Nodes that run already are left as they are, so that
# it also brings back one that was killed.
#
#   scripts/start-cluster.sh                     n1 to n4 on the usual ports
#   scripts/start-cluster.sh --nodes 3           so many
#   scripts/start-cluster.sh -- --workers 2      flags for each node's serve
#   scripts/start-cluster.sh --status            who runs; exit 3 if not all do
#   PORT_BASE=8600 scripts/start-cluster.sh      a second cluster beside the first
#
# PORT_BASE   first of the ports: TCP, +80 HTTP, +90 admin, +100 peer and gossip;
#             of clusters beside each other 120 apart or more
# STATE_DIR   pid files, logs, key; .cache/cluster/$PORT_BASE
# BIN         the program; bin/rookery
# PATIENCE    seconds for the nodes to find each other; 30
set -euo pipefail
cd "$(dirname "$0")/.."
# shellcheck source=scripts/cluster-lib.sh
. scripts/cluster-lib.sh

count=4 status=
while [ $# -gt 0 ]; do
  case $1 in
    --nodes) count=${2:?--nodes needs a number}; shift ;;
    --status) status=1 ;;
    -h | --help) sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "$0"; exit ;;
    --) shift; break ;;
    *) echo "$0: unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
  shift
done
case $count in [1-9] | 10) ;; *) echo "$0: --nodes $count is not between 1 and 10" >&2; exit 2 ;; esac
if ! [ "$PORT_BASE" -ge 1024 ] 2>/dev/null || [ "$PORT_BASE" -gt 65400 ]; then
  die "PORT_BASE=$PORT_BASE is not between 1024 and 65400"
fi

if [ -n "$status" ]; then
  missing=0
  for name in $(nodes); do
    if pid=$(pid_of "$name"); then
      echo "$name runs, pid $pid"
    else
      echo "$name does not run; its last words are in $STATE_DIR/$name.log"
      missing=3
    fi
  done
  [ -n "$(nodes)" ] || { echo "no node was started in $STATE_DIR"; missing=3; }
  exit $missing
fi

[ -x "$BIN" ] || die "$BIN is missing: make build"
mkdir -p "$STATE_DIR"
[ -e "$STATE_DIR/key" ] || "$BIN" cluster keygen "$STATE_DIR/key"

# Whatever goes wrong, what was started by this run ends with it.
started=()
give_up() {
  trap - EXIT INT TERM
  [ ${#started[@]} -eq 0 ] || scripts/stop-cluster.sh "${started[@]}" >&2
}
trap 'give_up' EXIT
trap 'exit 130' INT TERM

for ((i = 0; i < count; i++)); do
  name=n$((i + 1))
  if pid=$(pid_of "$name"); then
    echo "$name runs already, pid $pid"
    continue
  fi
  read -r tcp http admin peer gossip < <(ports_of "$i")
  join=
  for ((j = 0; j < count; j++)); do
    [ "$j" -eq "$i" ] || join=$join,127.0.0.1:$((PORT_BASE + 101 + 2 * j))
  done
  # nohup: the end of the terminal is not the node's.
  nohup "$BIN" serve --node "$name" --cluster-name "local-$PORT_BASE" --cluster-key "$STATE_DIR/key" \
    --tcp "127.0.0.1:$tcp" --http "127.0.0.1:$http" --admin "127.0.0.1:$admin" \
    --peer "127.0.0.1:$peer" --gossip "127.0.0.1:$gossip" --join "${join#,}" "$@" \
    </dev/null >>"$STATE_DIR/$name.log" 2>&1 &
  pid=$!
  started+=("$name")
  echo "$pid $(began "$pid")" >"$STATE_DIR/$name.pid"
  echo "$name: pid $pid, tcp $tcp, http $http, admin $admin"
done

# complete: one node sees all, and all are linked with all.
complete() {
  local rows
  rows=$("$BIN" cluster status --json --admin "127.0.0.1:$((PORT_BASE + 90))" 2>/dev/null) || return 1
  [ "$(grep -c '"state": "alive"' <<<"$rows")" -eq "$count" ] &&
    [ "$(grep -c '"filled": true' <<<"$rows")" -eq "$count" ] &&
    awk '$1 == "\"links\":" { links = $2 } $1 == "\"links_wanted\":" && links != $2 { exit 1 }' <<<"$rows"
}
deadline=$((SECONDS + ${PATIENCE:-30}))
until complete; do
  for name in ${started[@]+"${started[@]}"}; do
    pid_of "$name" >/dev/null && continue
    tail -n 3 "$STATE_DIR/$name.log" >&2
    die "$name has ended; the whole log is $STATE_DIR/$name.log"
  done
  [ "$SECONDS" -lt "$deadline" ] || die "the nodes did not find each other within ${PATIENCE:-30} s; logs are in $STATE_DIR"
  sleep 0.2
done
trap - EXIT
echo "$count nodes are up: $BIN top --admin 127.0.0.1:$((PORT_BASE + 90)); they end with scripts/stop-cluster.sh"

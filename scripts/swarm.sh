#!/usr/bin/env bash
# A cluster of nodes as a stack in a Docker swarm.
#
#   scripts/swarm.sh init      writes swarm/stack.yaml and swarm/cluster.key
#   scripts/swarm.sh deploy    hands them to the swarm
#   scripts/swarm.sh monitor   rookery top, inside the swarm's network; where no
#                              stack runs, of the cluster at ADMIN
#
# NODES   how many nodes init writes; 4
# IMAGE   which image; rookery:VERSION. A swarm of several machines needs one
#         that all of them can pull: see make docker-push
# STACK   name of the stack; rookery
# ADMIN   what monitor asks where no stack runs; 127.0.0.1:7690
# BIN     the program that it asks with; bin/rookery
set -euo pipefail
cd "$(dirname "$0")/.."

stack=${STACK:-rookery}
image=${IMAGE:-rookery:$(git describe --tags --always --dirty 2>/dev/null || echo latest)}

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# no_swarm prints why there is no swarm to speak to; it fails when there is one.
no_swarm() {
  local said
  command -v docker >/dev/null || { echo "docker is not installed"; return; }
  said=$(docker info --format '{{.Swarm.LocalNodeState}} {{.Swarm.ControlAvailable}}' 2>&1) ||
    { echo "docker does not work: $(tail -n 1 <<<"$said")"; return; }
  case $said in
    'active true') return 1 ;;
    active*) echo "this machine is a worker of the swarm: ask one of its managers" ;;
    *) echo "this engine is in no swarm: docker swarm init" ;;
  esac
}

init() {
  local nodes=${NODES:-4}
  case $nodes in [1-9] | [1-9][0-9]) ;; *) die "NODES=$nodes is not between 1 and 99" ;; esac
  [ ! -e swarm/stack.yaml ] || die "swarm/stack.yaml is there already; it is yours to edit, or to remove for a new one"
  mkdir -p swarm
  if [ ! -e swarm/cluster.key ]; then
    (umask 077 && od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n' >swarm/cluster.key && echo >>swarm/cluster.key)
  fi
  sed -e "s|@IMAGE@|$image|" -e "s|@NODES@|$nodes|" deploy/stack.yaml.in >swarm/stack.yaml
  echo "swarm/stack.yaml: $nodes nodes of $image; swarm/cluster.key: their secret, keep it out of version control"
}

deploy() {
  local why
  [ -e swarm/stack.yaml ] || die "there is no swarm/stack.yaml: make swarm-init"
  if why=$(no_swarm); then die "$why"; fi
  docker stack deploy --compose-file swarm/stack.yaml --with-registry-auth "$stack"
  echo "deployed as $stack: make swarm-monitor"
}

monitor() {
  local why bin=${BIN:-bin/rookery} terminal=()
  if ! why=$(no_swarm) && docker network inspect "${stack}_nodes" >/dev/null 2>&1; then
    [ ! -t 1 ] || terminal=(-t)
    exec docker run --rm -i ${terminal[@]+"${terminal[@]}"} -e TERM -e NO_COLOR --network "${stack}_nodes" \
      "$image" top --admin tasks.node:7690 "$@"
  fi
  [ -x "$bin" ] || die "no stack $stack runs here (${why:-it was not deployed}), and to ask ${ADMIN:-127.0.0.1:7690} $bin is missing: make build"
  exec "$bin" top --admin "${ADMIN:-127.0.0.1:7690}" "$@"
}

case ${1:-} in
  init | deploy) [ $# -eq 1 ] || die "too many arguments"; "$1" ;;
  monitor) shift; monitor "$@" ;;
  -h | --help) sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "$0" ;;
  *) echo "$0: init, deploy or monitor (see --help)" >&2; exit 2 ;;
esac

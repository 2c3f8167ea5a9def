#!/usr/bin/env bash
# A container engine on a Mac (or Linux) without Docker Desktop: Colima, in a
# machine of its own so that others are left alone.
#
#   scripts/colima.sh setup   starts the machine
#   scripts/colima.sh test    builds the image in it, tries it, runs four nodes
#   scripts/colima.sh clean   deletes the machine
#
# CPUS, MEMORY   of the machine; 4 processors, 8 GiB
set -euo pipefail
cd "$(dirname "$0")/.."

profile=rookery

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

need() {
  local tool
  for tool in "$@"; do
    command -v "$tool" >/dev/null || die "$tool is not installed: see https://github.com/abiosoft/colima#installation"
  done
}

running() { colima status --profile "$profile" >/dev/null 2>&1; }

setup() {
  need colima docker
  if running; then
    echo "the machine $profile runs already"
    return
  fi
  colima start --profile "$profile" --runtime docker --cpu "${CPUS:-4}" --memory "${MEMORY:-8}"
  # As many clients as the nodes are for: see rookery tune.
  colima ssh --profile "$profile" -- sudo sysctl -q -w net.core.somaxconn=65535 net.ipv4.tcp_max_syn_backlog=65535
}

check() {
  need colima docker
  running || die "the machine $profile does not run: make colima-setup"
  export DOCKER_CONTEXT=colima-$profile ENGINE=docker
  scripts/image.sh build
  scripts/image.sh up
  trap 'scripts/image.sh down' EXIT
  docker compose -f deploy/compose.yaml exec -T n1 /rookery top --once
  docker compose -f deploy/compose.yaml exec -T n1 /rookery cluster status
}

clean() {
  need colima
  colima delete --force --profile "$profile"
}

case ${1:-} in
  setup | clean) "$1" ;;
  test) check ;;
  -h | --help) sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "$0" ;;
  *) echo "$0: setup, test or clean (see --help)" >&2; exit 2 ;;
esac

# What start-cluster.sh and stop-cluster.sh share. To be sourced by bash, from
# the top of the repository.
#
# A cluster is a directory: NAME.pid with a process number and the moment at
# which that process began, NAME.log, and the key that its nodes share.
# shellcheck shell=bash

PORT_BASE=${PORT_BASE:-7600}
STATE_DIR=${STATE_DIR:-.cache/cluster/$PORT_BASE}
BIN=${BIN:-bin/rookery}

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# ports_of I prints the ports of the I-th node, from 0: tcp http admin peer
# gossip. With the usual PORT_BASE they are those of `rookery cluster up`.
ports_of() {
  echo $((PORT_BASE + $1)) $((PORT_BASE + 80 + $1)) $((PORT_BASE + 90 + $1)) \
    $((PORT_BASE + 100 + 2 * $1)) $((PORT_BASE + 101 + 2 * $1))
}

# began PID prints when a process began, in a form that is good for comparing;
# it fails when there is none. Numbers of processes are used again, so a number
# alone does not say whose process it is.
began() {
  local stat
  if [ -d /proc/self ]; then
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
    stat=${stat##*) } # what follows the name, which may contain anything
    # shellcheck disable=SC2086 # the fields are split on purpose
    set -- $stat
    [ "$1" != Z ] || return 1 # it has ended and nobody has asked how
    echo "${20}"
  else
    ps -p "$1" -o lstart= 2>/dev/null | tr -s ' ' '-'
  fi
}

# pid_of NAME prints the process number of a node that runs and is ours.
pid_of() {
  local pid since
  read -r pid since 2>/dev/null <"$STATE_DIR/$1.pid" || return 1
  [ -n "$since" ] && [ "$(began "$pid")" = "$since" ] && echo "$pid"
}

# nodes prints the names of all nodes that were started and not stopped.
nodes() {
  local file
  for file in "$STATE_DIR"/*.pid; do
    [ -e "$file" ] || continue
    file=${file##*/}
    echo "${file%.pid}"
  done
}

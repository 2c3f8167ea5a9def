#!/usr/bin/env bash
# Holds the Makefile to what is said of it:
#
#   - each target that documents, workflows and scripts name exists;
#   - each target that REQUIREMENTS asks for exists;
#   - each target is in `make help`, is phony, and all it depends on has a rule.
#
# With --run also to what it does: each target below is run in a fresh clone of
# the last commit, so that nothing here is touched, and has either done what its
# name says, which is looked at, or stopped with a reason and a status that is
# not 0. Those that test or measure for minutes are left to their own runs.
#
#   scripts/validate-makefile.sh                      the names
#   scripts/validate-makefile.sh --run                the names, and run all
#   scripts/validate-makefile.sh --run build swarm-init
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

run='' chosen=()
while [ $# -gt 0 ]; do
  case $1 in
    --run) run=1 ;;
    -h | --help) sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "$0"; exit ;;
    -*) echo "$0: unknown option $1 (see --help)" >&2; exit 2 ;;
    *) chosen+=("$1") ;;
  esac
  shift
done

failed=0
fault() {
  echo "FAULT $*"
  failed=$((failed + 1))
}

# Those that REQUIREMENTS asks for, "Commands (make)".
required='test-100k test-100k-cluster test-100k-registry test-100k-stress test-100k-load
  benchmark benchmark-quick benchmark-full benchmark-100k bench-mem bench-compare dev
  docker-build docker-up docker-down docker-push colima-setup colima-test colima-clean
  swarm-init swarm-deploy swarm-monitor clean-100k-data clean-all workspace-check release-prod
  compile distclean observer'

targets=$(sed -nE 's/^([a-zA-Z0-9_-]+):.*## .*/\1/p' Makefile)
phony=$(sed -nE 's/^\.PHONY: (.*)/\1/p' Makefile | tr ' ' '\n')
rules=$(sed -nE 's/^([a-zA-Z0-9_-]+):([^=].*|)$/\1/p' Makefile)

is_target() { grep -qxF -- "$1" <<<"$targets"; }

for name in $required; do
  is_target "$name" || fault "REQUIREMENTS asks for make $name, which does not exist"
done
for name in $targets; do
  grep -qxF -- "$name" <<<"$phony" || fault "make $name is not declared phony: a file of that name would hide it"
  # What make would do, without doing it: names prerequisites that have no rule.
  said=$(make --dry-run --no-print-directory "$name" 2>&1) || fault "make --dry-run $name: $(tail -n 1 <<<"$said")"
done
for name in $rules; do
  is_target "$name" || fault "make $name is not explained: add '## what it does' behind its rule"
done

# Names in documents stand in backquotes or begin a line of a listing.
named=$(grep -rhoE '(`|^|run: )make +[a-z][a-z0-9-]*' README.md CONTRIBUTING.md docs deploy scripts .ci/run .github/workflows \
  --include='*.md' --include='*.sh' --include='*.yml' --include='*.yaml' --include='*.in' --include=run | sed -E 's/.*make +//' | sort -u)
[ -n "$named" ] || fault "no document names a target: this check looks in the wrong place"
for name in $named; do
  is_target "$name" || fault "a document names make $name, which does not exist"
done

echo "$(wc -w <<<"$targets") targets, $(wc -w <<<"$named") of them named in documents, $(wc -w <<<"$required") required"

# ---- --run

# Each try_TARGET runs in the clone and looks at what came of it.
try_help() { make help | grep -q 'bench-mem'; }
try_build() {
  make build && bin/rookery version | grep -q "$(git rev-parse HEAD)" || return
  local command # each that a recipe runs exists
  while read -r _ command; do bin/rookery "$command" --help || return; done < <(grep -oE '^	bin/rookery [a-z-]+' Makefile | sort -u)
}
try_compile() { make compile; }
try_baseline() { make baseline && [ -x bin/baseline ]; }
try_fmt() { make fmt && git diff --exit-code; }
try_fmt_check() {
  make fmt-check || return
  printf 'package main\nvar  x int\n' >cmd/rookery/crooked.go
  ! make fmt-check
  local code=$?
  rm cmd/rookery/crooked.go
  return $code
}
try_vet() { make vet; }
try_lint() { make lint; }
try_shellcheck() { make shellcheck; }
try_check() { make check; }
try_run() { serves 7600 make run ARGS="--tcp 127.0.0.1:$base --http= --admin 127.0.0.1:$((base + 90)) --gossip= --peer="; }
try_dev() { serves 7600 make dev ARGS="--tcp 127.0.0.1:$base --http= --admin 127.0.0.1:$((base + 90)) --gossip= --peer="; }
try_start_cluster() {
  PORT_BASE=$base make start-cluster || return
  PORT_BASE=$base make observer ADMIN="127.0.0.1:$((base + 90))" ARGS='--once --json' | grep -q '"node":"n4","admin":"[^"]*","state":"alive"' &&
    PORT_BASE=$base make swarm-monitor ADMIN="127.0.0.1:$((base + 90))" ARGS=--once | grep -q '4 nodes'
  local code=$?
  PORT_BASE=$base make stop-cluster && [ $code -eq 0 ] && ! PORT_BASE=$base scripts/start-cluster.sh --status
}
try_observer() { stops make observer ADMIN=127.0.0.1:1 ARGS='--once --timeout 100ms'; }
try_docker_build() { make docker-build || reason; }
try_docker_try() { make docker-try || reason; }
try_docker_up() { { make docker-up && make docker-down; } || reason; }
try_docker_down() { make docker-down || reason; }
try_docker_push() { stops make docker-push; }
try_colima_setup() { { make colima-setup && make colima-clean; } || reason; }
try_colima_test() { make colima-test || reason; }
try_colima_clean() { make colima-clean || reason; }
try_swarm_init() {
  make swarm-init && grep -q 'replicas: 4' swarm/stack.yaml && [ "$(wc -c <swarm/cluster.key)" -eq 65 ] &&
    stops make swarm-init && rm "$log.reason" # the second time it overwrites nothing
}
try_swarm_monitor() { stops make swarm-monitor ADMIN=127.0.0.1:1 ARGS='--once --timeout 100ms'; }
try_swarm_deploy() { make swarm-deploy || reason; }
try_release_prod() {
  make release-prod && (cd dist && sha256sum -c SHA256SUMS) || return
  local binary
  for binary in dist/rookery-*-linux-"$(go env GOARCH)"; do "$binary" version | grep -q "$(git rev-parse HEAD)" || return; done
}
try_clean_100k_data() { mkdir -p results/100k results/other && make clean-100k-data && [ ! -e results/100k ] && [ -e results/other ]; }
try_clean() { mkdir -p bin results dist && make clean && [ ! -e bin ] && [ ! -e results ] && [ ! -e dist ]; }
try_distclean() {
  PORT_BASE=$base make start-cluster ARGS='--nodes 1' || return # one that must not be left behind
  local pid
  pid=$(cut -d' ' -f1 ".cache/cluster/$base/n1.pid")
  # shellcheck source=scripts/cluster-lib.sh
  make distclean && [ ! -e .cache ] && ! (. scripts/cluster-lib.sh && began "$pid") # nobody may have asked how it ended
}
try_clean_all() { # with a cache of its own: others use that of this machine
  mkdir -p bin .cache/tool && GOCACHE=$work/cache make clean-all && [ ! -e bin ] && [ ! -e .cache ]
}
try_validate() { make validate; }

# stops COMMAND...: it fails, with a reason.
stops() { ! "$@" && reason; }

# reason: what was written last before make gave up is a sentence of ours, and not
# a tool that was not found.
reason() {
  local said
  said=$(grep -vE '^make(\[[0-9]+\])?: ' "$log" | tail -n 1)
  grep -qE '^[a-z.-]+: .+' <<<"$said" && ! grep -qE 'command not found|No such file|unbound variable|syntax error' <<<"$said" &&
    printf 'stops: %s\n' "$said" >"$log.reason"
}

# serves PORT COMMAND...: it answers a call, and ends at SIGINT.
serves() {
  shift
  set -m
  "$@" &
  local command=$! reply='' deadline=$((SECONDS + 600)) # it is built first
  set +m
  until { exec 3<>"/dev/tcp/127.0.0.1/$base"; } 2>/dev/null; do
    kill -0 "$command" 2>/dev/null && [ "$SECONDS" -lt "$deadline" ] || return 1
    sleep 0.3
  done
  echo '{"jsonrpc":"2.0","id":1,"method":"echo","params":["hi"]}' >&3
  read -r -t 10 reply <&3
  exec 3>&-
  kill -INT -- "-$command"
  wait "$command"
  [[ $reply == *'"result":["hi"]'* ]] && ! { exec 3<>"/dev/tcp/127.0.0.1/$base"; } 2>/dev/null
}

# Others may run this at the same time.
base=$((20000 + $$ % 100 * 130))

if [ -n "$run" ]; then
  work=$(mktemp -d)
  trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
  git clone -q -c advice.detachedHead=false . "$work/clone" || exit 1
  mkdir "$work/clone/.cache"
  [ ! -d .cache/bin ] || cp -r .cache/bin "$work/clone/.cache/" # the linter takes minutes to build
  log=$work/log
  for name in $targets; do
    try=try_${name//-/_}
    if [ ${#chosen[@]} -gt 0 ]; then
      [[ " ${chosen[*]} " == *" $name "* ]] || continue
      declare -F "$try" >/dev/null || fault "there is no way here to try make $name"
    fi
    declare -F "$try" >/dev/null || { printf '%-16s left to its own run\n' "$name"; continue; }
    rm -f "$log.reason"
    began=$SECONDS
    if (cd "$work/clone" && "$try") >"$log" 2>&1 </dev/null; then
      printf '%-16s %4d s  %s\n' "$name" $((SECONDS - began)) "$(cat "$log.reason" 2>/dev/null || echo 'does it')"
    else
      tail -n 20 "$log" | sed 's/^/    /'
      fault "make $name neither did what its name says nor stopped with a reason"
    fi
  done
fi

[ "$failed" -eq 0 ] || echo "$failed faults"
[ "$failed" -eq 0 ]

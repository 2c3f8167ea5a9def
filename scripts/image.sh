#!/usr/bin/env bash
# Builds, tries, starts and pushes the container image, with what this machine
# has: Docker, Podman, or (for build, try and push) Buildah.
#
#   scripts/image.sh build     IMAGE from the Dockerfile
#   scripts/image.sh try       runs it: version, health, one call, a gentle end
#   scripts/image.sh up        four nodes with deploy/compose.yaml
#   scripts/image.sh down      ends them
#   scripts/image.sh push      to DOCKER_REGISTRY
#
# IMAGE             name and tag; rookery:VERSION, where VERSION is git's
# DOCKER_REGISTRY   where to push, such as registry.example.com/team
# ENGINE            docker, podman or buildah instead of the first that works
# PLATFORM          such as linux/arm64; that of this machine
# COMPILE           "image": in the Go image, the default where Docker or Podman
#                   run; "here": with the Go of this machine, then only copied
set -euo pipefail
cd "$(dirname "$0")/.."

version=${VERSION:-$(git describe --tags --always --dirty 2>/dev/null || echo devel)}
commit=$(git rev-parse HEAD 2>/dev/null || echo unknown)
image=${IMAGE:-rookery:$version}

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# works ENGINE: whether it can be used; else a line that says why not.
works() {
  local said
  command -v "$1" >/dev/null || { echo "$1 is not installed"; return 1; }
  said=$("$1" info 2>&1) || { echo "$1 does not work: $(tail -n 1 <<<"$said")"; return 1; }
}

# choose ENGINE... sets engine to the first that works.
choose() {
  local why reasons=''
  for engine in ${ENGINE:-"$@"}; do
    if why=$(works "$engine"); then return; fi
    reasons+="${reasons:+; }$why"
  done
  die "no container engine: $reasons"
}

build() {
  choose docker podman buildah
  local compile=${COMPILE:-image}
  [ -n "${COMPILE:-}" ] || [ "$engine" != buildah ] || compile=here
  local args=(-t "$image" --build-arg "VERSION=$version" --build-arg "COMMIT=$commit")
  [ -z "${PLATFORM:-}" ] || args+=(--platform "$PLATFORM")
  case $engine in
    docker) args=(buildx build --load "${args[@]}") ;;
    podman) args=(build --format docker "${args[@]}") ;; # the other format has no HEALTHCHECK
    buildah) args=(build --format docker --isolation "${BUILDAH_ISOLATION:-chroot}" "${args[@]}") ;;
  esac
  if [ "$compile" = here ]; then
    # A directory takes the place of the stage that compiles.
    rm -rf .cache/image
    mkdir -p .cache/image/out
    mkdir -m 1777 .cache/image/out/tmp
    VERSION=$version COMMIT=$commit scripts/release.sh --binary .cache/image/out ${PLATFORM:+"${PLATFORM#linux/}"}
    args+=(--build-context "build=$PWD/.cache/image")
  fi
  "$engine" "${args[@]}" .
  echo "$engine has built $image, compiled $([ "$compile" = here ] && echo 'by the Go of this machine' || echo 'in the Go image')"
}

# Where a node under trial listens: away from the usual ports.
trial=(ROOKERY_TCP=127.0.0.1:27600 ROOKERY_HTTP=127.0.0.1:27680 ROOKERY_ADMIN=127.0.0.1:27690)

# in_box COMMAND... runs a program of the image, as its user, on the network of
# this machine. There is no shell in it.
in_box() {
  case $engine in
    buildah) buildah run --isolation chroot "${trial[@]/#/--env=}" "$box" -- "$@" ;;
    *) "$engine" run -i --rm --network host "${trial[@]/#/--env=}" --entrypoint "$1" "$image" "${@:2}" ;;
  esac
}

# must_exist stops unless the image was built: engines would look for it elsewhere.
must_exist() {
  "$engine" image inspect "$image" >/dev/null 2>&1 || "$engine" inspect --type image "$image" >/dev/null 2>&1 ||
    die "there is no image $image: make docker-build"
}

try() {
  choose docker podman buildah
  must_exist
  box=''
  if [ "$engine" = buildah ]; then
    box=$(buildah from "$image")
    trap 'buildah rm "$box" >/dev/null' EXIT
  fi
  in_box /rookery version
  # The node ends when its input does; signals would be for the engine.
  exec 4> >(in_box /rookery serve --lifeline --workers 2)
  local node=$! deadline=$((SECONDS + 30)) reply
  until in_box /rookery health --ready >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || die "the node in $image is not ready after 30 s"
    sleep 0.3
  done
  echo "health: $(in_box /rookery health)"
  exec 3<>/dev/tcp/127.0.0.1/27600
  echo '{"jsonrpc":"2.0","id":1,"method":"echo","params":["hi"]}' >&3
  read -r -t 10 reply <&3 || die "no reply from the node in $image"
  exec 3>&-
  echo "a call over TCP: $reply"
  case $reply in *'"result":["hi"]'*) ;; *) die "that is not what echo replies" ;; esac
  exec 4>&-
  wait "$node" || die "the node in $image ended with status $?"
  echo "$image runs under $engine, as user $(user_of_image), and ends gently"
}

user_of_image() {
  case $engine in
    buildah) buildah inspect --type image --format '{{.OCIv1.Config.User}}' "$image" ;;
    *) "$engine" image inspect --format '{{.Config.User}}' "$image" ;;
  esac
}

# compose ARGUMENT... runs docker compose, or podman's, for the four nodes.
compose() {
  choose docker podman
  "$engine" compose version >/dev/null 2>&1 || die "$engine has no compose: install its compose plugin"
  IMAGE=$image "$engine" compose -f deploy/compose.yaml "$@"
}

up() {
  choose docker podman
  "$engine" image inspect "$image" >/dev/null 2>&1 || build
  # The nodes run as whoever owns the key, so that nobody else need read it.
  export NODE_USER
  NODE_USER=$(id -u):$(id -g)
  if [ ! -e deploy/cluster.key ]; then
    (umask 077 && od -An -v -tx1 -N32 /dev/urandom | tr -d ' \n' >deploy/cluster.key && echo >>deploy/cluster.key)
  fi
  if [ "$(id -u)" -eq 0 ]; then # not the nodes
    NODE_USER=65532:65532
    chown "$NODE_USER" deploy/cluster.key
  fi
  compose up -d --wait
  echo "four nodes are up: bin/rookery top --admin 127.0.0.1:7690,127.0.0.1:7691,127.0.0.1:7692,127.0.0.1:7693"
}

down() {
  NODE_USER=$(id -u):$(id -g) compose down --remove-orphans
}

push() {
  [ -n "${DOCKER_REGISTRY:-}" ] || die "DOCKER_REGISTRY is not set: where to, as in DOCKER_REGISTRY=registry.example.com/team"
  choose docker podman buildah
  local name=${image##*/}
  must_exist
  "$engine" tag "$image" "$DOCKER_REGISTRY/$name"
  "$engine" push "$DOCKER_REGISTRY/$name"
}

case ${1:-} in
  build | try | up | down | push) [ $# -eq 1 ] || die "too many arguments"; "$1" ;;
  -h | --help) sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "$0" ;;
  *) echo "$0: build, try, up, down or push (see --help)" >&2; exit 2 ;;
esac

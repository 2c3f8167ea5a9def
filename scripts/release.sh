#!/usr/bin/env bash
# Builds what is released, under dist/: static binaries for linux/amd64 and
# linux/arm64, a bill of materials for each (CycloneDX), and SHA256SUMS. The same
# commit and the same Go give the same bytes, wherever they are built; with
# --prove that is shown by building all of it once more, from a clone in another
# directory and with an empty build cache.
#
#   scripts/release.sh                          from a clean tree
#   scripts/release.sh --prove                  and once more
#   scripts/release.sh --allow-dirty            for trying it out
#   scripts/release.sh --binary DIR [ARCH]      DIR/rookery only, for an image
set -euo pipefail
cd "$(dirname "$0")/.."

prove='' dirty='' binary='' arch=$(go env GOARCH)
while [ $# -gt 0 ]; do
  case $1 in
    --prove) prove=1 ;;
    --allow-dirty) dirty=1 ;;
    --binary)
      binary=${2:?--binary needs a directory} dirty=1
      shift
      if [ $# -gt 1 ]; then arch=$2; shift; fi
      ;;
    -h | --help) sed -n '2,/^set /{/^set /d; s/^# \{0,1\}//; p}' "$0"; exit ;;
    *) echo "$0: unknown option $1 (see --help)" >&2; exit 2 ;;
  esac
  shift
done
die() { echo "${0##*/}: $*" >&2; exit 1; }

version=${VERSION:-$(git describe --tags --always --dirty)} || die "no git checkout, and VERSION is not set"
commit=${COMMIT:-$(git rev-parse HEAD)}
case $version in
  *-dirty)
    [ -n "$dirty" ] || die "there are changes that are not committed: a release is of a commit (--allow-dirty to try it out)"
    [ -z "$prove" ] || die "--prove compares with the commit, which this tree is not"
    ;;
esac

# build DIRECTORY ARCH FILE. What differs between machines is said here: the
# user's flags, CPU levels and experiments.
build() (
  cd "$1"
  env GOFLAGS=-mod=readonly GOEXPERIMENT= GOAMD64=v1 GOARM64=v8.0 CGO_ENABLED=0 GOOS=linux GOARCH="$2" \
    go build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X main.version=$version -X main.commit=$commit" -o "$3" ./cmd/rookery
)

if [ -n "$binary" ]; then
  mkdir -p "$binary"
  build . "$arch" "$(cd "$binary" && pwd)/rookery"
  exit
fi

epoch=$(git show -s --format=%ct HEAD)
rm -rf dist
mkdir dist
for arch in amd64 arm64; do
  file=rookery-$version-linux-$arch
  echo "building $file with $(go env GOVERSION)"
  build . "$arch" "$PWD/dist/$file"
  go version -m "dist/$file" | grep -q 'CGO_ENABLED=0' || die "$file was built with cgo"
  if command -v readelf >/dev/null && readelf -lW "dist/$file" | grep -q INTERP; then
    die "$file is not static: it wants a loader"
  fi
  go run ./scripts/sbom -version "$version" -epoch "$epoch" "dist/$file" >"dist/$file.cdx.json"
done

sums() { if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }
(cd dist && sums rookery-* >SHA256SUMS && cat SHA256SUMS)

if [ -n "$prove" ]; then
  work=$(mktemp -d)
  trap 'chmod -R u+w "$work"; rm -rf "$work"' EXIT
  git clone -q . "$work/another directory"
  git -C "$work/another directory" -c advice.detachedHead=false checkout -q "$commit"
  for arch in amd64 arm64; do
    file=rookery-$version-linux-$arch
    echo "building $file again in another directory, from nothing"
    GOCACHE=$work/cache build "$work/another directory" "$arch" "$work/$file"
    cmp "dist/$file" "$work/$file" || die "$file is not reproducible: two builds differ"
  done
  echo "both binaries came out the same, byte by byte"
fi

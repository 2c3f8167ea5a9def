#!/usr/bin/env bash
# Runs make targets in lanes: those of one lane one after another, the lanes side
# by side.
#
#   scripts/lanes.sh 'LANE' 'LANE'...
#
# A lane is a line of words: a target; after:TARGET, which waits for the end of
# one in another lane; nice:N, for what comes after it in this lane; idle, which
# gives that the time which nobody else wants, and takes it back at once.
#
# What a target prints appears when it has ended, in one piece, with the seconds
# it took and the processor seconds it used. The first that fails ends all
# others; what it printed comes last. Ctrl-C ends all. The output of each target
# is kept in results/test.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1
[ $# -gt 0 ] || { echo "usage: $0 'LANE' 'LANE'..." >&2; exit 2; }

logs=$PWD/results/test
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
mkdir -p "$logs" && rm -f "$logs"/*.log || exit 1

read -ra words <<<"$*"
for word in "${words[@]}"; do
  case $word in after:*) [[ " ${words[*]} " == *" ${word#after:} "* ]] || { echo "$0: $word: no lane has it" >&2; exit 2; } ;; esac
done

# lane N WORD...: $work/TARGET.took says that one has ended well, $work/failed
# which has not, $work/lane.N that all of the lane have, $work/stop that none may
# begin. Files, because a shell forgets how a child ended when another of its
# children gets the same number, which in these minutes happens.
lane() {
  local word code number=$1 TIMEFORMAT='%0R %0U %0S'
  local -a as=(nice -n 0)
  shift
  for word in "$@"; do
    case $word in
      nice:*) as=(nice -n "${word#nice:}") ;;
      idle) if command -v chrt >/dev/null; then as=(chrt --idle 0); else as=(nice -n 19); fi ;;
      after:*) until [ -e "$work/${word#after:}.took" ] || [ -e "$work/stop" ]; do sleep 0.2; done ;;
      *)
        [ ! -e "$work/stop" ] || return 0
        echo "$word begins"
        code=0
        { time "${as[@]}" "${MAKE:-make}" --no-print-directory "$word" >"$logs/$word.log" 2>&1; } 2>"$work/time.$word" || code=$?
        if [ "$code" -ne 0 ]; then
          mkdir "$work/failed" 2>/dev/null && echo "$word $code" >"$work/failed/first"
          return 1
        fi
        mv "$work/time.$word" "$work/$word.took"
        ;;
    esac
  done
  touch "$work/lane.$number"
}

# passed: all lanes have.
passed() {
  local number
  for number in "${!lanes[@]}"; do [ -e "$work/lane.$number" ] || return 1; done
}

# lost: one lane has ended without a word, so that others may wait for it for ever.
lost() {
  local number
  for number in "${!lanes[@]}"; do
    alive "${lanes[number]}" || [ -e "$work/lane.$number" ] || return 0
  done
  return 1
}

# tree prints all that the lanes have started. What has lost its parent is not
# found any more: who ends a tree keeps what it has seen of it.
tree() {
  ps -A -o pid= -o ppid= | awk -v roots="${lanes[*]}" '
    { children[$2] = children[$2] " " $1 }
    function walk(pid, list, n, i) {
      n = split(children[pid], list, " ")
      for (i = 1; i <= n; i++) { print list[i]; walk(list[i]) }
    }
    END { n = split(roots, root, " "); for (i = 1; i <= n; i++) walk(root[i]) }'
}

# alive PID...: some have not ended. One that nobody has asked about has.
alive() { ps -o stat= -p "$(IFS=, && echo "$*")" | grep -qv '^Z'; }

# end ends all: kindly, and after five seconds by force.
end() {
  trap '' INT TERM HUP
  touch "$work/stop"
  local pid began=$SECONDS signal=TERM seen=' '
  for pid in $(tree); do seen+="$pid "; done
  while :; do
    # shellcheck disable=SC2086 # a list of numbers
    kill -"$signal" $seen 2>/dev/null
    sleep 0.3
    for pid in $(tree); do [[ $seen == *" $pid "* ]] || seen+="$pid "; done
    # shellcheck disable=SC2086
    alive "${lanes[@]}" $seen || break
    [ $((SECONDS - began)) -lt 5 ] || signal=KILL
    [ $((SECONDS - began)) -lt 20 ] || { echo "$0: these do not end:$seen" >&2; break; }
  done
}
# shellcheck disable=SC2317 # reached by signals
interrupted() {
  end
  echo "${0##*/}: interrupted after $SECONDS s" >&2
  exit "$1"
}

# report prints what has ended since the last time.
report() {
  local file target wall user system
  for file in "$work"/*.took; do
    [ -e "$file" ] || continue
    target=$(basename "$file" .took)
    [ ! -e "$work/$target.told" ] || continue
    touch "$work/$target.told"
    read -r wall user system < <(tail -n 1 "$file")
    printf '\n== %s\n' "$target"
    cat "$logs/$target.log"
    echo "$target took $wall s, and $((user + system)) s of processors"
  done
}

lanes=()
set -m # each lane has a group of its own, so that it is we who hear of Ctrl-C
trap 'interrupted 130' INT
trap 'interrupted 143' TERM HUP
for line in "$@"; do
  read -ra words <<<"$line"
  lane "${#lanes[@]}" "${words[@]}" </dev/null &
  lanes+=($!)
done
set +m

while ! passed && ! lost && [ ! -e "$work/failed/first" ]; do
  report
  sleep 0.3
done
report
if [ ! -e "$work/failed/first" ]; then
  passed || { end; echo "${0##*/}: a lane was killed" >&2; exit 1; }
  echo
  echo "all tests passed in $SECONDS s"
  exit 0
fi
end
read -r target code <"$work/failed/first"
printf '\n== %s\n' "$target"
cat "$logs/$target.log"
echo "${0##*/}: $target failed ($code) after $SECONDS s; the others were ended, their output is in results/test" >&2
exit 1

#!/bin/sh
# Restores the values that apply.sh saved. What somebody else has changed since
# is left and named, unless -f is given. Ends with 0 when all was restored, 1
# otherwise, and then what is left stays saved; 2 when used wrongly.
#
# Generated from knobs.json by 'go generate ./vm-tuning'. Do not edit.
set -eu

usage() {
  echo "usage: $0 [-n] [-f] [-s STATE] [-r ROOT]" >&2
  echo "  -n  show what would be done and do nothing" >&2
  echo "  -f  restore also what somebody else has changed since" >&2
  exit 2
}

root=
state=/var/lib/rookery/tune.tsv
dry=
force=
while getopts nfs:r: option; do
  case $option in
    n) dry=1 ;;
    f) force=1 ;;
    s) state=$OPTARG ;;
    r) root=$OPTARG ;;
    *) usage ;;
  esac
done
shift $((OPTIND - 1))
[ $# -eq 0 ] || usage

if ! [ -e "$state" ]; then
  echo "$0: nothing to revert: no saved values in $state" >&2
  exit 1
fi

words() { # TEXT: its words with single spaces between them
  line=
  for word in $1; do line=$line${line:+ }$word; done
  echo "$line"
}

value() { # FILE: what it holds; the word in brackets where there is one
  [ -e "$root$1" ] || return 1
  if [ "$1" = /proc/self/limits ]; then
    while read -r what open files _ hard _; do
      if [ "$what $open $files" = 'Max open files' ]; then
        echo "$hard"
        return
      fi
    done <"$root$1"
    return 0 # no such line: empty
  fi
  # Not with read, which takes single bytes: the kernel answers only the first.
  text=$(cat "$root$1" 2>/dev/null) || return 0
  case $text in
    *\[*\]*)
      text=${text#*\[}
      text=${text%%\]*}
      ;;
  esac
  words "$text"
}

tab=$(printf '\t')
if ! (set -C && echo $$ >"$state.lock") 2>/dev/null; then
  if [ -e "$state.lock" ]; then
    echo "$0: nothing was changed: $state.lock exists, so another run is at work; remove it if none is" >&2
  else
    echo "$0: nothing was changed: $state cannot be written" >&2
  fi
  exit 1
fi
trap 'rm -f "$state.lock" "$state.new"' EXIT
trap 'exit 1' HUP INT TERM

left=0
restarted=
boot=$(value /proc/sys/kernel/random/boot_id) || boot=
{
  IFS= read -r head || head=
  case $head in
    "# boot $boot") ;;
    '# boot '*)
      echo "the machine was restarted since, which has reverted it"
      restarted=1
      ;;
    *)
      echo "$0: $state is no file of saved values" >&2
      exit 1
      ;;
  esac
  echo "$head" >"$state.new"
  while [ -z "$restarted" ] && IFS=$tab read -r file old new; do
    case $file in
      *..*) problem='not a setting' ;;
      /proc/sys/?* | /sys/?*) problem= ;;
      *) problem='not a setting' ;;
    esac
    now=
    if [ -z "$problem" ]; then
      if ! now=$(value "$file"); then
        problem='it is not there any more'
      elif [ "$now" = "$old" ]; then
        echo "as before: $file: $old"
        continue
      elif [ "$now" != "$new" ] && [ -z "$force" ]; then
        problem="somebody has changed it since, from $new (-f restores it)"
      elif [ -n "$dry" ]; then
        echo "would restore: $file: $now -> $old"
        continue
      elif { printf '%s\n' "$old" >"$root$file"; } 2>/dev/null && [ "$(value "$file")" = "$old" ]; then
        echo "restored: $file: $now -> $old"
        continue
      else
        problem='it needs root, or is read-only here'
      fi
    fi
    echo "left: $file: $now: $problem"
    printf '%s\t%s\t%s\n' "$file" "$old" "$new" >>"$state.new"
    left=$((left + 1))
  done
} <"$state"

if [ -n "$dry" ]; then exit 0; fi
if [ "$left" -gt 0 ]; then
  mv "$state.new" "$state"
  echo "$left of the settings were not restored; $state keeps them" >&2
  exit 1
fi
rm "$state"

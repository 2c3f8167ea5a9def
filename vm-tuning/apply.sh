#!/bin/sh
# Saves the old values of settings that are not as so many connections need
# them, and sets new ones until the machine restarts; 90-rookery.conf is what
# stays. revert.sh restores what was saved. Values that are higher than needed
# stay. What cannot be set is named, the rest is set all the same. Ends with 0
# when all was set, 1 otherwise, 2 when used wrongly.
#
# Generated from knobs.json by 'go generate ./vm-tuning'. Do not edit.
set -eu

usage() {
  echo "usage: $0 [-n] [-p server|loadgen] [-c CONNECTIONS] [-w PROCESSES] [-s STATE] [-r ROOT]" >&2
  echo "  -n  show what would be done and do nothing" >&2
  exit 2
}

profile=server
CONNS=100000
PROCESSES=1
root=
state=/var/lib/rookery/tune.tsv
dry=
while getopts np:c:w:s:r: option; do
  case $option in
    n) dry=1 ;;
    p) profile=$OPTARG ;;
    c) CONNS=$OPTARG ;;
    w) PROCESSES=$OPTARG ;;
    s) state=$OPTARG ;;
    r) root=$OPTARG ;;
    *) usage ;;
  esac
done
shift $((OPTIND - 1))
[ $# -eq 0 ] || usage
case $profile in
  server | loadgen) ;;
  *) usage ;;
esac
for number in "$CONNS" "$PROCESSES"; do
  case $number in
    0) ;;
    '' | *[!0-9]* | 0* | ?????????*) usage ;; # neither octal nor beyond 8 digits
  esac
done
[ "$PROCESSES" -gt 0 ] || usage
if ! [ -d "$root/proc/sys" ]; then
  echo "$0: no Linux settings to see in $root/proc/sys" >&2
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

number() { # TEXT: as a number that test can compare
  case $1 in
    unlimited | infinity | max | off) echo 9223372036854775807 ;;
    '' | *[!0-9]*) return 1 ;;
    ???????????????????*) echo 9223372036854775807 ;; # 19 digits
    *) echo "$1" ;;
  esac
}

least() { if [ "$1" -lt "$2" ]; then echo "$1"; else echo "$2"; fi; }
most() { if [ "$1" -gt "$2" ]; then echo "$1"; else echo "$2"; fi; }

field() { # N TEXT: the Nth word
  n=$1
  for word in $2; do
    n=$((n - 1))
    if [ "$n" -eq 0 ]; then
      echo "$word"
      return
    fi
  done
  return 1
}

merge() { # RULE HAVE WANT: what HAVE becomes when it is to satisfy WANT
  if [ "$1" = choice ]; then
    for word in $3; do
      if [ "$2" = "$word" ]; then
        echo "$2"
        return
      fi
    done
    echo "${3%% *}"
    return
  fi
  result=''
  i=0
  for want in $3; do
    i=$((i + 1))
    have=$(field "$i" "$2") || return 1
    rule=$1
    if [ "$rule" = covers ]; then
      if [ "$i" -eq 1 ]; then rule=atmost; else rule=atleast; fi
    fi
    if [ "$want" != - ]; then
      h=$(number "$have") || return 1
      w=$(number "$want") || return 1
      case $rule in
        atleast) if [ "$h" -lt "$w" ]; then have=$want; fi ;;
        atmost) if [ "$h" -gt "$w" ]; then have=$want; fi ;;
        exactly) if [ "$h" -ne "$w" ]; then have=$want; fi ;;
      esac
    fi
    result=$result${result:+ }$have
  done
  if field "$((i + 1))" "$2" >/dev/null; then return 1; fi
  echo "$result"
}

# knob PROFILES NAME FILE RULE NEED OURS LEAST EFFECT FIX: FIX where it is set by hand.
knobs() {
  knob server,loadgen RLIMIT_NOFILE /proc/self/limits atleast required "$(most 1048576 "$((CONNS + 65536))")" "$(most 4096 "$(((((CONNS + PROCESSES) - 1) / PROCESSES) + 64))")" \
    "further clients are left waiting in the backlog" \
    "raise it: LimitNOFILE=$(most 1048576 "$((CONNS + 65536))") in the systemd unit, --ulimit nofile=$(most 1048576 "$((CONNS + 65536))"):$(most 1048576 "$((CONNS + 65536))") for Docker, ulimit -n in a shell; or run more --workers"
  knob server,loadgen fs.nr_open /proc/sys/fs/nr_open atleast required "$(most 1048576 "$((CONNS + 65536))")" "$(most 4096 "$(((((CONNS + PROCESSES) - 1) / PROCESSES) + 64))")" \
    "no process can be given the descriptors it needs" \
    ""
  knob server,loadgen fs.file-max /proc/sys/fs/file-max atleast required "$(((2 * CONNS) + 65536))" "$((CONNS + 4096))" \
    "accept fails for every process of the machine" \
    ""
  knob server,loadgen fs.epoll.max_user_watches /proc/sys/fs/epoll/max_user_watches atleast required "$(((2 * CONNS) + 65536))" "$((CONNS + 4096))" \
    "connections are accepted and cannot be watched" \
    ""
  knob server net.core.somaxconn /proc/sys/net/core/somaxconn atleast required 65535 "$(most 4096 "$(least "$((CONNS / 4))" 65535)")" \
    "bursts of new connections are dropped and tried again after a second" \
    ""
  knob server net.ipv4.tcp_max_syn_backlog /proc/sys/net/ipv4/tcp_max_syn_backlog atleast advised 65535 "$(most 1024 "$(least "$CONNS" 65535)")" \
    "without SYN cookies a burst of handshakes is dropped" \
    ""
  knob server,loadgen net.core.netdev_max_backlog /proc/sys/net/core/netdev_max_backlog atleast advised 16384 16384 \
    "packets of a burst are dropped before TCP sees them" \
    ""
  knob server,loadgen net.netfilter.nf_conntrack_max /proc/sys/net/netfilter/nf_conntrack_max atleast required "$(most 262144 "$((2 * CONNS))")" "$((CONNS + (CONNS / 4)))" \
    "the kernel logs 'table full, dropping packet' and drops new connections" \
    ""
  knob server,loadgen net.ipv4.tcp_max_tw_buckets /proc/sys/net/ipv4/tcp_max_tw_buckets atleast advised "$(most 262144 "$CONNS")" "$(least "$CONNS" 262144)" \
    "sockets in TIME_WAIT are destroyed early and the kernel warns" \
    ""
  knob loadgen net.ipv4.ip_local_port_range /proc/sys/net/ipv4/ip_local_port_range covers advised "10240 65535" "10240 65535" \
    "a source address opens at most so many connections to one listener: 28,232 by default" \
    ""
  knob loadgen net.ipv4.tcp_tw_reuse /proc/sys/net/ipv4/tcp_tw_reuse choice advised "2 1" "2 1" \
    "ports of a finished run stay taken for a minute" \
    ""
  knob server net.ipv4.tcp_keepalive_time /proc/sys/net/ipv4/tcp_keepalive_time atmost leave 7200 7200 \
    "" \
    ""
  knob server net.ipv4.tcp_keepalive_intvl /proc/sys/net/ipv4/tcp_keepalive_intvl atmost advised 30 30 \
    "a client that vanished is held longer" \
    ""
  knob server net.ipv4.tcp_keepalive_probes /proc/sys/net/ipv4/tcp_keepalive_probes atmost advised 5 5 \
    "a client that vanished is held longer" \
    ""
  knob server net.ipv4.tcp_slow_start_after_idle /proc/sys/net/ipv4/tcp_slow_start_after_idle exactly advised 0 0 \
    "the first large message after a silence takes more round trips" \
    ""
  knob server net.ipv4.tcp_notsent_lowat /proc/sys/net/ipv4/tcp_notsent_lowat atmost advised 131072 131072 \
    "slow clients fill kernel memory up to tcp_wmem each" \
    ""
  knob server,loadgen net.ipv4.tcp_rmem /proc/sys/net/ipv4/tcp_rmem exactly leave "4096 131072 6291456" "4096 131072 6291456" \
    "" \
    ""
  knob server,loadgen net.ipv4.tcp_wmem /proc/sys/net/ipv4/tcp_wmem exactly leave "4096 16384 4194304" "4096 16384 4194304" \
    "" \
    ""
  knob server,loadgen net.ipv4.tcp_mem /proc/sys/net/ipv4/tcp_mem atleast advised "- - $CONNS" "- - $CONNS" \
    "when many clients speak at once, the kernel drops their packets" \
    "more memory for this machine: the kernel derives the limit from it, and raising it takes memory that is not there"
  knob server vm.swappiness /proc/sys/vm/swappiness atmost advised 10 10 \
    "a message to all clients waits for the disk" \
    ""
  knob server,loadgen vm.max_map_count /proc/sys/vm/max_map_count atleast leave 65530 65530 \
    "" \
    ""
  knob server,loadgen vm.overcommit_memory /proc/sys/vm/overcommit_memory exactly leave 0 0 \
    "" \
    ""
  knob server,loadgen transparent_hugepage /sys/kernel/mm/transparent_hugepage/enabled choice advised "madvise never" "madvise never" \
    "a small heap takes up to half as much memory again" \
    ""
}

tab=$(printf '\t')
newline='
'
planned=
failed=0
denied='it needs root, or is read-only here (a container?)'

knob() {
  case ,$1, in *,"$profile",*) ;; *) return 0 ;; esac
  if [ "$5" = leave ] || ! now=$(value "$3"); then return 0; fi
  if [ -z "$now" ] || ! enough=$(merge "$4" "$now" "$7") || ! target=$(merge "$4" "$now" "$6"); then
    echo "unreadable: $2 is \"$now\""
    failed=$((failed + 1))
    return
  fi
  if [ "$now" = "$enough" ]; then return 0; fi
  name=$2 file=$3
  shift 8
  if [ -n "$1" ]; then
    echo "by hand: $name: $now -> $target: $1"
  elif [ -n "$dry" ]; then
    echo "would set: $name: $now -> $target"
  elif ! { true >>"$root$file"; } 2>/dev/null; then
    echo "failed: $name: $now -> $target: $denied"
    failed=$((failed + 1))
  else
    planned=$planned$file$tab$now$tab$target$newline
  fi
}

knobs
if [ -n "$planned" ]; then
  if ! mkdir -p "$(dirname "$state")"; then
    echo "$0: old values cannot be saved, so nothing was changed" >&2
    exit 1
  fi
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

  # What an earlier run saved is older, so it is kept; what is from before a
  # restart means nothing, because the kernel has forgotten it.
  boot=$(value /proc/sys/kernel/random/boot_id) || boot=
  saved=
  if [ -e "$state" ]; then
    {
      IFS= read -r head || head=
      if [ "$head" = "# boot $boot" ]; then
        while IFS=$tab read -r file old new; do
          case $newline$planned in
            *"$newline$file$tab"*)
              new=${planned#*"$file$tab"}
              new=${new#*"$tab"}
              new=${new%%"$newline"*}
              ;;
          esac
          saved=$saved$file$tab$old$tab$new$newline
        done
      elif [ "${head#\# boot }" = "$head" ]; then
        echo "$0: nothing was changed: $state is no file of saved values" >&2
        exit 1
      fi
    } <"$state"
  fi
  {
    echo "# boot $boot"
    printf '%s' "$saved"
    printf '%s' "$planned" | while IFS=$tab read -r file old new; do
      case $newline$saved in
        *"$newline$file$tab"*) ;;
        *) printf '%s\t%s\t%s\n' "$file" "$old" "$new" ;;
      esac
    done
  } >"$state.new"
  mv "$state.new" "$state"

  while IFS=$tab read -r file old new; do
    if [ -z "$file" ]; then continue; fi
    if { printf '%s\n' "$new" >"$root$file"; } 2>/dev/null && [ "$(value "$file")" = "$new" ]; then
      echo "set: $file: $old -> $new"
    else
      echo "failed: $file: $old -> $new: the kernel did not take it"
      failed=$((failed + 1))
    fi
  done <<END
$planned
END
  echo "old values are saved in $state; revert.sh restores them"
fi
if [ "$failed" -gt 0 ]; then
  echo "$failed of the settings could not be changed" >&2
  exit 1
fi

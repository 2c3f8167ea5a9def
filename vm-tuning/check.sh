#!/bin/sh
# Compares this machine with what so many connections need, and looks for
# settings that do harm. Changes nothing. Ends with 0 when nothing needed is
# lacking and nothing harmful is set, 1 otherwise, 2 when used wrongly.
# Without the program; 'rookery tune check' looks at more.
#
# Generated from knobs.json by 'go generate ./vm-tuning'. Do not edit.
set -eu

usage() {
  echo "usage: $0 [-p server|loadgen] [-c CONNECTIONS] [-w PROCESSES] [-r ROOT]" >&2
  exit 2
}

profile=server
CONNS=100000
PROCESSES=1
root=
while getopts p:c:w:r: option; do
  case $option in
    p) profile=$OPTARG ;;
    c) CONNS=$OPTARG ;;
    w) PROCESSES=$OPTARG ;;
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

# harm PROFILES NAME FILE FIELD IS VALUE UNLESS REASON FIX
harms() {
  harm server,loadgen net.ipv4.tcp_tw_recycle /proc/sys/net/ipv4/tcp_tw_recycle 1 above 0 "" \
    "Drops connections of clients behind one address translator, because their clocks differ. Linux 4.12 removed it." \
    "sysctl -w net.ipv4.tcp_tw_recycle=0"
  harm server net.ipv4.tcp_tw_reuse /proc/sys/net/ipv4/tcp_tw_reuse 1 exactly 1 "" \
    "Concerns outgoing connections only, so it does nothing for clients that are accepted; the kernel's documentation asks not to change it without need." \
    "sysctl -w net.ipv4.tcp_tw_reuse=2"
  harm server,loadgen net.ipv4.tcp_timestamps /proc/sys/net/ipv4/tcp_timestamps 1 exactly 0 "" \
    "Saves 12 bytes a packet and loses the protection against wrapped sequence numbers, round trips measured for each packet, and window scaling behind SYN cookies." \
    "sysctl -w net.ipv4.tcp_timestamps=1"
  harm server,loadgen net.ipv4.tcp_sack /proc/sys/net/ipv4/tcp_sack 1 exactly 0 "" \
    "Without selective acknowledgements one lost packet makes the sender repeat a whole window. The kernel faults it was turned off for (2019) are mended." \
    "sysctl -w net.ipv4.tcp_sack=1"
  harm server,loadgen net.ipv4.tcp_window_scaling /proc/sys/net/ipv4/tcp_window_scaling 1 exactly 0 "" \
    "Holds every connection to 64 KiB in flight." \
    "sysctl -w net.ipv4.tcp_window_scaling=1"
  harm server,loadgen net.ipv4.tcp_syncookies /proc/sys/net/ipv4/tcp_syncookies 1 exactly 0 "" \
    "A flood of handshakes then fills the backlog and nobody else gets in. Cookies are sent only when the backlog overflows." \
    "sysctl -w net.ipv4.tcp_syncookies=1"
  harm server,loadgen net.ipv4.tcp_syncookies /proc/sys/net/ipv4/tcp_syncookies 1 exactly 2 "" \
    "Sends cookies always, for tests: no connection then has the TCP options that do not fit into a cookie." \
    "sysctl -w net.ipv4.tcp_syncookies=1"
  harm server,loadgen net.ipv4.tcp_abort_on_overflow /proc/sys/net/ipv4/tcp_abort_on_overflow 1 above 0 "" \
    "Resets clients when the backlog is full for a moment; without it they try again and get in." \
    "sysctl -w net.ipv4.tcp_abort_on_overflow=0"
  harm server,loadgen net.ipv4.tcp_fin_timeout /proc/sys/net/ipv4/tcp_fin_timeout 1 below 15 "" \
    "Does not shorten TIME_WAIT, which is fixed at 60 s. It is how long a closed socket waits for the other side's end, and a slow client that is cut off there gets a reset for its last bytes." \
    "sysctl -w net.ipv4.tcp_fin_timeout=60"
  harm server,loadgen net.ipv4.tcp_mem /proc/sys/net/ipv4/tcp_mem 3 above "$MEMPAGES" "" \
    "Pages, not bytes. A value above the whole memory turns the limit off, and socket buffers can take the machine down." \
    "set it to the kernel's own values, which a restart without the setting brings back"
  harm server,loadgen net.ipv4.tcp_rmem /proc/sys/net/ipv4/tcp_rmem 1 above 65536 "" \
    "The first number is guaranteed to each socket even when memory is short: times 100,000 it is more than the machine has." \
    "sysctl -w net.ipv4.tcp_rmem=\"4096 131072 6291456\""
  harm server,loadgen net.ipv4.tcp_rmem /proc/sys/net/ipv4/tcp_rmem 2 above 1048576 "" \
    "Every connection begins with this window, so a burst of clients may send so much each at once. The kernel raises it by itself where it helps." \
    "sysctl -w net.ipv4.tcp_rmem=\"4096 131072 6291456\""
  harm server,loadgen net.ipv4.tcp_rmem /proc/sys/net/ipv4/tcp_rmem 3 above 67108864 "" \
    "For a single transfer between continents, not for many clients: each may pin so much in the kernel." \
    "sysctl -w net.ipv4.tcp_rmem=\"4096 131072 6291456\""
  harm server,loadgen net.ipv4.tcp_wmem /proc/sys/net/ipv4/tcp_wmem 1 above 65536 "" \
    "The first number is guaranteed to each socket even when memory is short: times 100,000 it is more than the machine has." \
    "sysctl -w net.ipv4.tcp_wmem=\"4096 16384 4194304\""
  harm server,loadgen net.ipv4.tcp_wmem /proc/sys/net/ipv4/tcp_wmem 3 above 67108864 "" \
    "Each slow client may pin so much in the kernel." \
    "sysctl -w net.ipv4.tcp_wmem=\"4096 16384 4194304\""
  harm server,loadgen net.core.rmem_default /proc/sys/net/core/rmem_default 1 above 16777216 "" \
    "Not for TCP, where tcp_rmem decides: it makes every UDP and unix socket of the machine larger." \
    "sysctl -w net.core.rmem_default=212992"
  harm server,loadgen net.core.wmem_default /proc/sys/net/core/wmem_default 1 above 16777216 "" \
    "Not for TCP, where tcp_wmem decides: it makes every UDP and unix socket of the machine larger." \
    "sysctl -w net.core.wmem_default=212992"
  harm server,loadgen net.ipv4.ip_local_port_range /proc/sys/net/ipv4/ip_local_port_range 1 below 7800 "/proc/sys/net/ipv4/ip_local_reserved_ports" \
    "Outgoing connections then take ports that listeners want: rookery cannot start while a client of the same machine holds 7600. Begin above, or reserve 7600-7799 in net.ipv4.ip_local_reserved_ports." \
    "sysctl -w net.ipv4.ip_local_port_range=\"10240 65535\""
  harm server,loadgen net.ipv4.tcp_max_orphans /proc/sys/net/ipv4/tcp_max_orphans 1 below 4096 "" \
    "Closed connections with bytes still on their way are reset beyond it; the kernel's documentation says not to lower it." \
    "sysctl -w net.ipv4.tcp_max_orphans=65536"
  harm server,loadgen vm.overcommit_memory /proc/sys/vm/overcommit_memory 1 exactly 1 "" \
    "Meant for programs that fork a copy of a large heap, which rookery never does. Every allocation succeeds, and the first sign of too little memory is the kernel killing somebody." \
    "sysctl -w vm.overcommit_memory=0"
  harm server,loadgen vm.overcommit_memory /proc/sys/vm/overcommit_memory 1 exactly 2 "" \
    "Counts what is mapped and not what is used. Go maps its heap in pieces of 64 MiB, so worker processes can be refused memory that is free." \
    "sysctl -w vm.overcommit_memory=0"
  harm server,loadgen RLIMIT_NOFILE /proc/self/limits 1 above 16777216 "" \
    "LimitNOFILE=infinity is 1,073,741,816 on a kernel of today. Programs that close or count all possible descriptors when they start a child then take minutes or gigabytes." \
    "set it to 1048576"
}

faults=0

knob() {
  case ,$1, in *,"$profile",*) ;; *) return 0 ;; esac
  if ! now=$(value "$3"); then
    printf '%-10s %s\n' absent "$2"
    return
  fi
  if [ "$5" = leave ]; then
    printf '%-10s %s is %s\n' ok "$2" "$now"
    return
  fi
  if [ -z "$now" ] || ! enough=$(merge "$4" "$now" "$7") || ! target=$(merge "$4" "$now" "$6"); then
    printf '%-10s %s is "%s"\n' unreadable "$2" "$now"
    faults=$((faults + 1))
    return
  fi
  if [ "$now" = "$enough" ]; then
    printf '%-10s %s is %s\n' ok "$2" "$now"
    return
  fi
  status=advised
  if [ "$5" = required ]; then
    status=lacking
    faults=$((faults + 1))
  fi
  printf '%-10s %s is %s, %s wanted\n           otherwise: %s\n' "$status" "$2" "$now" "$enough" "$8"
  name=$2 file=$3
  shift 8
  case $1$file in
    /proc/sys/*) printf '           fix: sysctl -w %s="%s"\n' "$name" "$target" ;;
    /sys/*) printf '           fix: echo %s > %s\n' "$target" "$file" ;;
    *) printf '           fix: %s\n' "$1" ;;
  esac
}

harm() {
  case ,$1, in *,"$profile",*) ;; *) return 0 ;; esac
  if ! now=$(value "$3") || ! have=$(field "$4" "$now") || ! h=$(number "$have"); then return 0; fi
  case $5 in
    exactly) [ "$h" -eq "$6" ] || return 0 ;;
    above) [ "$h" -gt "$6" ] || return 0 ;;
    below) [ "$h" -lt "$6" ] || return 0 ;;
  esac
  if [ -n "$7" ] && other=$(value "$7") && [ -n "$other" ]; then return 0; fi
  faults=$((faults + 1))
  printf '%-10s %s is %s\n           why: %s\n' harmful "$2" "$now" "$8"
  shift 8
  printf '           fix: %s\n' "$1"
}

# Pages of 4 KiB. Where they are not known, no number of them is too many.
MEMPAGES=9223372036854775807
if [ -r "$root/proc/meminfo" ]; then
  while read -r key kib _; do
    if [ "$key" = MemTotal: ]; then MEMPAGES=$((kib / 4)); fi
  done <"$root/proc/meminfo"
fi

echo "for $CONNS connections, profile $profile"
knobs
harms
if [ "$faults" -gt 0 ]; then
  echo "$faults to mend" >&2
  exit 1
fi

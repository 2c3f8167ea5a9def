package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// socket is one row of /proc/net/tcp or /proc/net/tcp6.
type socket struct {
	local netip.AddrPort
	state string
	inode uint64 // 0: no process has it (TIME_WAIT)
}

// States of proc_net_tcp(5) that concern us.
var socketStates = map[string]string{"01": "ESTABLISHED", "06": "TIME_WAIT", "0A": "LISTEN"}

// findHolder looks for whoever keeps addr from being bound: a listener first,
// else any socket with that port.
func findHolder(addr string) (holder, bool) {
	want, err := netip.ParseAddrPort(strings.Replace(addr, "localhost:", "127.0.0.1:", 1))
	if err != nil {
		i := strings.LastIndexByte(addr, ':')
		port, err := strconv.ParseUint(addr[i+1:], 10, 16)
		if err != nil {
			return holder{}, false
		}
		want = netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(port))
	}
	var found []socket
	for _, name := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(name)
		if err != nil {
			continue // no IPv6, or no /proc
		}
		for _, s := range parseSockets(text) {
			if s.local.Port() == want.Port() && overlap(s.local.Addr(), want.Addr()) {
				found = append(found, s)
			}
		}
	}
	if len(found) == 0 {
		return holder{}, false
	}
	i := max(0, slices.IndexFunc(found, func(s socket) bool { return s.state == "LISTEN" }))
	h := holder{state: found[i].state}
	h.pid, h.command = ownerOf(found[i].inode)
	return h, true
}

// overlap reports whether two local addresses exclude each other.
func overlap(a, b netip.Addr) bool {
	return a.Unmap() == b.Unmap() || a.IsUnspecified() || b.IsUnspecified()
}

// parseSockets reads the table, whose columns are: number, local address,
// remote address, state, queues, timer, retransmits, uid, timeout, inode.
func parseSockets(text []byte) []socket {
	var all []socket
	for line := range bytes.Lines(text) {
		f := strings.Fields(string(line))
		if len(f) < 10 {
			continue
		}
		local, ok := parseHexAddr(f[1])
		inode, err := strconv.ParseUint(f[9], 10, 64)
		if ok && err == nil {
			all = append(all, socket{local, socketStates[f[3]], inode})
		}
	}
	return all
}

// parseHexAddr reads "0100007F:1DB0": 32-bit words of the address in the byte
// order of the machine (little endian on all we build for), the port in plain.
func parseHexAddr(s string) (netip.AddrPort, bool) {
	host, port, ok := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	if !ok || err != nil || len(raw)%4 != 0 {
		return netip.AddrPort{}, false
	}
	for i := 0; i < len(raw); i += 4 {
		slices.Reverse(raw[i : i+4])
	}
	addr, ok := netip.AddrFromSlice(raw)
	n, err := strconv.ParseUint(port, 16, 16)
	return netip.AddrPortFrom(addr.Unmap(), uint16(n)), ok && err == nil
}

// ownerOf looks for the process that has the socket open; it sees those of the
// same user, or all when run as root.
func ownerOf(inode uint64) (pid int, command string) {
	if inode == 0 {
		return 0, ""
	}
	want := fmt.Sprintf("socket:[%d]", inode)
	links, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return 0, ""
	}
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != want {
			continue // closed meanwhile, or not ours to see
		}
		dir := filepath.Dir(filepath.Dir(link))
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
		if err != nil {
			continue
		}
		return pid, strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
	}
	return 0, ""
}

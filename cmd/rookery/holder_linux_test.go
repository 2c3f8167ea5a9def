package main

import (
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
)

func TestParseSockets(t *testing.T) {
	const text = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1DB0 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 28413 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1DB0 0100007F:C350 06 00000000:00000000 03:00001768 00000000     0        0 0 3 0000000000000000
   2: 00000000000000000000000001000000:1F40 00000000000000000000000000000000:0000 01 00000000:00000000 00:00000000 00000000     0        0 77
   3: 0000000000000000FFFF00000100007F:1DB0 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 78
   4: nonsense
   5: 0100007F:XXXX 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1
`
	want := []socket{
		{netip.MustParseAddrPort("127.0.0.1:7600"), "LISTEN", 28413},
		{netip.MustParseAddrPort("127.0.0.1:7600"), "TIME_WAIT", 0},
		{netip.MustParseAddrPort("[::1]:8000"), "ESTABLISHED", 77},
		{netip.MustParseAddrPort("127.0.0.1:7600"), "LISTEN", 78},
	}
	if got := parseSockets([]byte(text)); !reflect.DeepEqual(got, want) {
		t.Errorf("parsed %v, want %v", got, want)
	}
}

func TestFindHolder(t *testing.T) {
	addr := listen(t).Addr().String()
	_, port, _ := strings.Cut(addr, ":")
	for _, a := range []string{addr, "localhost:" + port, ":" + port, "0.0.0.0:" + port} {
		h, ok := findHolder(a)
		if !ok || h.pid != os.Getpid() || h.state != "LISTEN" || h.command == "" {
			t.Errorf("findHolder(%q) = %+v, %v; want this process", a, h, ok)
		}
	}
	if h, ok := findHolder("192.0.2.1:" + port); ok {
		t.Errorf("an address of another host is held by %+v", h)
	}
	if _, ok := findHolder("host:http"); ok {
		t.Error("a port by name was looked up")
	}
	if pid, _ := ownerOf(0); pid != 0 {
		t.Error("inode 0 has an owner")
	}
}

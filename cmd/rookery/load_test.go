package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rookery-server/rookery/bench/load"
)

func TestLoadProgress(t *testing.T) {
	o := load.Options{Clients: 10, Warmup: time.Second, Duration: 3 * time.Second}
	seconds := []load.Second{
		{AtS: 0, Connected: 5, Connects: 5},
		{AtS: 1, Connected: 10, Connects: 5, Sent: 9, Replies: 9, P50: 1234567, P99: 23456789, Max: 1234 * time.Millisecond, Late: 2},
		{AtS: 2, Connected: 9, Sent: 9, Replies: 8, Errors: 1, Dropped: 3, Lost: 1, Violations: 4, Heard: 7},
		{AtS: 3, Connected: 10},
	}
	show := func(live, colour bool) string {
		var out bytes.Buffer
		p := &loadProgress{w: &out, live: live, colour: colour, clients: o.Clients, total: o.Warmup + o.Duration, full: -1}
		for _, s := range seconds {
			p.second(s)
		}
		p.clear()
		return out.String()
	}
	plain := show(false, false)
	if strings.Count(plain, "\n") != 2 || strings.Contains(plain, "\x1b") || !strings.Contains(plain, "9 of 10 clients  8/s") ||
		!strings.Contains(plain, "7 events  3 dropped  1 errors  1 lost  4 violations") {
		t.Errorf("plain lines:\n%s", plain)
	}
	live := show(true, true)
	if strings.Contains(live, "\n") || !strings.HasSuffix(live, "\r\x1b[K") || !strings.Contains(live, "\x1b[31m  3 dropped") ||
		!strings.Contains(live, "[##########..........]    0 s  5 of 10") || !strings.Contains(live, "[#####...............]    2 s") ||
		!strings.Contains(live, "p50 1.23ms  p99 23.46ms  max 1.23s  5 opened  2 late") {
		t.Errorf("live line:\n%q", live)
	}
	if strings.Contains(show(true, false), "\x1b[31m") {
		t.Error("colours, though there are to be none")
	}
}

// A file is no terminal; --quiet is silent.
func TestLoadProgressWhere(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if p := newLoadProgress(f, false, load.Options{}); p.live || p.colour || p.w == nil {
		t.Errorf("%+v", p)
	}
	p := newLoadProgress(f, true, load.Options{})
	p.second(load.Second{})
	p.clear()
	if info, err := f.Stat(); err != nil || info.Size() > 0 {
		t.Errorf("%d bytes of a quiet progress, %v", info.Size(), err)
	}
}

func TestShortTime(t *testing.T) {
	for d, want := range map[time.Duration]string{
		1234: "1µs", 1234567: "1.23ms", 12345678: "12.35ms", 1234567890: "1.23s", 12345678901: "12.3s",
	} {
		if got := shortTime(d); got != want {
			t.Errorf("%d: %s, want %s", d, got, want)
		}
	}
}

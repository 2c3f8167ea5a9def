package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/rookery-server/rookery/bench/load"
)

// loadProgress shows how a load goes on: on a terminal one line with a bar that
// is written over each second, elsewhere a plain line now and then.
type loadProgress struct {
	w       io.Writer // nil: silent
	live    bool      // w is a terminal
	colour  bool
	clients int
	total   time.Duration // of warm-up and measurement
	full    int           // the second in which all clients were open; -1: not yet
}

// plainEvery is how many seconds lie between lines where no line is written over.
const plainEvery = 5

func newLoadProgress(f *os.File, quiet bool, o load.Options) *loadProgress {
	if quiet {
		return &loadProgress{}
	}
	return &loadProgress{w: f, clients: o.Clients, total: o.Warmup + o.Duration, full: -1, live: isTerminal(f), colour: coloured(f)}
}

// second shows s.
func (p *loadProgress) second(s load.Second) {
	if p.w == nil {
		return
	}
	if p.full < 0 && s.Connected >= p.clients {
		p.full = s.AtS
	}
	text := fmt.Sprintf("%4d s  %d of %d clients", s.AtS, s.Connected, p.clients)
	if s.Sent > 0 || s.Replies > 0 {
		text += fmt.Sprintf("  %d/s  p50 %s  p99 %s  max %s", s.Replies, shortTime(s.P50), shortTime(s.P99), shortTime(s.Max))
	}
	for _, n := range []struct {
		count int64
		name  string
	}{{s.Connects, "opened"}, {s.Heard, "events"}, {s.Late, "late"}} {
		if n.count > 0 {
			text += fmt.Sprintf("  %d %s", n.count, n.name)
		}
	}
	bad := ""
	for _, n := range []struct {
		count int64
		name  string
	}{{s.Dropped, "dropped"}, {s.Errors, "errors"}, {s.Lost, "lost"}, {s.Violations, "violations"}} {
		if n.count > 0 {
			bad += fmt.Sprintf("  %d %s", n.count, n.name)
		}
	}
	if bad != "" && p.colour {
		bad = "\x1b[31m" + bad + "\x1b[0m"
	}
	switch {
	case p.live:
		fmt.Fprintf(p.w, "\r\x1b[K%s %s%s", p.bar(s), text, bad)
	case bad != "" || s.AtS%plainEvery == 0:
		fmt.Fprintf(p.w, "%s%s\n", text, bad)
	}
}

// bar draws how far the ramp is, and then the time.
func (p *loadProgress) bar(s load.Second) string {
	const width = 20
	share := float64(s.Connected) / float64(max(p.clients, 1))
	if p.full >= 0 && p.total > 0 {
		share = float64(s.AtS-p.full) / p.total.Seconds()
	}
	n := int(width * min(max(share, 0), 1))
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", width-n) + "]"
}

// clear removes the line before something else is printed.
func (p *loadProgress) clear() {
	if p.w != nil && p.live {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

// shortTime writes d with three digits.
func shortTime(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d >= time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	default:
		return d.Round(time.Microsecond).String()
	}
}

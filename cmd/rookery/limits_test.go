package main

import (
	"runtime"
	"strings"
	"testing"
)

func TestAdvice(t *testing.T) {
	for _, c := range []struct {
		name  string
		l     limits
		conns int
		want  string // part of the only advisory; empty: none
	}{
		{"plenty", limits{1 << 20, 1 << 20, 65535}, 100_000, ""},
		{"nothing known", limits{}, 100_000, ""},
		{"soft below hard", limits{1024, 4096, 65535}, 0, "soft limit 1024 is below the hard limit 4096"},
		{"too low for conns-max", limits{20_000, 20_000, 65535}, 20_000, "too low for conns-max 20000"},
		{"just enough", limits{20_064, 20_064, 65535}, 20_000, ""},
		{"small", limits{1024, 1024, 65535}, 0, "room for about 960 clients"},
		{"tiny", limits{10, 10, 65535}, 0, "room for about 0 clients"},
		{"backlog", limits{1 << 20, 1 << 20, 128}, 0, "somaxconn is 128"},
	} {
		got := c.l.advice(&config{connsMax: c.conns})
		switch {
		case c.want == "" && len(got) == 0:
		case c.want != "" && len(got) == 1 && strings.Contains(got[0].What, c.want) && got[0].Remedy != "":
		default:
			t.Errorf("%s: %v, want %q", c.name, got, c.want)
		}
	}
}

// The Go runtime raises the soft limit before main; serve relies on it.
func TestOpenFilesAreRaised(t *testing.T) {
	l := readLimits()
	if runtime.GOOS != "linux" {
		t.Skip("limits are read on Linux only")
	}
	if l.openFiles == 0 || l.openFiles != l.openFilesHard || l.backlog == 0 {
		t.Errorf("limits %+v: want soft and hard limit of open files equal, and a backlog", l)
	}
}

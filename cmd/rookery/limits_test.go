package main

import (
	"bytes"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	tuning "github.com/rookery-server/rookery/vm-tuning"
)

// fakeMachine has the defaults of a kernel of today and changes.
func fakeMachine(t *testing.T, changes map[string]string) *tuning.Machine {
	t.Helper()
	files := map[string]string{
		"/proc/sys/fs/nr_open":                "1048576",
		"/proc/sys/fs/file-max":               "1000000",
		"/proc/sys/fs/epoll/max_user_watches": "1000000",
		"/proc/sys/net/core/somaxconn":        "4096",
		"/proc/sys/vm/swappiness":             "60",
		"/proc/meminfo":                       "MemTotal: 4194304 kB",
		"/proc/self/cgroup":                   "0::/",
		"/proc/self/limits":                   openFilesLimit("1048576"),
	}
	for name, text := range changes {
		files[name] = text
	}
	m := &tuning.Machine{Root: t.TempDir()}
	for name, text := range files {
		path := filepath.Join(m.Root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func openFilesLimit(hard string) string {
	return "Max open files            1024                 " + hard + "              files"
}

func TestAdvice(t *testing.T) {
	const limitsFile = "/proc/self/limits"
	for _, c := range []struct {
		name    string
		changes map[string]string
		config  config
		want    []string // part of each advisory
	}{
		{"defaults of today", nil, config{}, nil},
		{"and clients that they are enough for", nil, config{connsMax: 16_000}, nil},
		{"too few descriptors", map[string]string{limitsFile: openFilesLimit("16063")}, config{connsMax: 16_000}, []string{"RLIMIT_NOFILE is 16063, 16064 wanted for 16000 connections"}},
		{"just enough", map[string]string{limitsFile: openFilesLimit("16064")}, config{connsMax: 16_000}, nil},
		{"the limit is one process's", map[string]string{limitsFile: openFilesLimit("4096")}, config{connsMax: 16_000, workers: 4}, nil},
		{"three are too few", map[string]string{limitsFile: openFilesLimit("4096")}, config{connsMax: 16_000, workers: 3}, []string{"RLIMIT_NOFILE is 4096, 5398 wanted"}},
		{"small for any use", map[string]string{limitsFile: openFilesLimit("1024")}, config{}, []string{"RLIMIT_NOFILE is 1024, 4096 wanted: further clients"}},
		{"backlog of an old kernel", map[string]string{"/proc/sys/net/core/somaxconn": "128"}, config{}, []string{"net.core.somaxconn is 128, 4096 wanted"}},
		{"backlog for a crowd", nil, config{connsMax: 100_000}, []string{"net.core.somaxconn is 4096, 25000 wanted"}},
		{"memory of the control group", map[string]string{"/sys/fs/cgroup/memory.max": "134217728"}, config{connsMax: 16_000}, []string{"memory.max is 134217728, 149028864 wanted"}},
		{"two at once", map[string]string{"/proc/sys/fs/file-max": "1000", "/proc/sys/net/netfilter/nf_conntrack_max": "8192"}, config{connsMax: 16_000}, []string{"fs.file-max is 1000", "nf_conntrack_max is 8192"}},
	} {
		got := limits{machine: fakeMachine(t, c.changes)}.advice(&c.config)
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %q", c.name, got, c.want)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i].String(), c.want[i]) || got[i].Remedy == "" || strings.Contains(got[i].String(), "\n") {
				t.Errorf("%s: %v, want %q", c.name, got[i], c.want[i])
			}
		}
	}
	l := limits{openFiles: 1024, openFilesHard: 4096, machine: &tuning.Machine{Root: t.TempDir()}}
	if got := l.advice(&config{}); len(got) != 1 || !strings.Contains(got[0].String(), "soft limit 1024 is below the hard limit 4096") {
		t.Errorf("a soft limit that stayed low, on no Linux: %v", got)
	}
}

// The Go runtime raises the soft limit before main; serve relies on it.
func TestOpenFilesAreRaised(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("limits are read on Linux only")
	}
	if l := readLimits(nil); l.openFiles == 0 || l.openFiles != l.openFilesHard || l.machine.Supported() != nil {
		t.Errorf("limits %+v: want soft and hard limit of open files equal, and settings to see", l)
	}
}

// The Go runtime gets what the control group leaves, unless somebody has said
// otherwise.
func TestFollowMemory(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	if before != math.MaxInt64 {
		t.Skip("the tests run with GOMEMLIMIT")
	}
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	m := fakeMachine(t, nil)
	followMemory(m, 100_000, 1, log)
	if got := debug.SetMemoryLimit(-1); got != before || out.Len() > 0 {
		t.Errorf("no limit of the group: %d, %s", got, &out)
	}
	m = fakeMachine(t, map[string]string{"/sys/fs/cgroup/memory.max": "1073741824"})
	m.Environ = []string{"GOMEMLIMIT=512MiB"}
	followMemory(m, 100_000, 1, log)
	if got := debug.SetMemoryLimit(-1); got != before {
		t.Errorf("with GOMEMLIMIT: %d", got)
	}
	m.Environ = nil
	followMemory(m, 100_000, 4, log)
	if got := debug.SetMemoryLimit(-1); got != 149_431_909 || !strings.Contains(out.String(), "memory limit") {
		t.Errorf("limit %d, %s", got, &out)
	}
}

package tuning

import (
	"os"
	"strings"
	"testing"
)

var hundredThousand = Request{Conns: 100_000}

func TestCheckUntuned(t *testing.T) {
	m := fake(t, nil)
	found := Default().Check(m, hundredThousand)
	for _, c := range []struct {
		name   string
		status Status
		want   string
		fix    string
	}{
		{"RLIMIT_NOFILE", OK, "", ""},
		{"net.core.somaxconn", Lacking, "65535", "sysctl -w net.core.somaxconn=65535"},
		{"fs.file-max", OK, "", ""},
		{"net.netfilter.nf_conntrack_max", Absent, "", ""},
		{"net.ipv4.tcp_max_tw_buckets", Improvable, "262144", "sysctl -w net.ipv4.tcp_max_tw_buckets=262144"},
		{"net.ipv4.tcp_mem", Improvable, "45000 60000 100000", "more memory for this machine"},
		{"net.ipv4.tcp_slow_start_after_idle", Improvable, "0", "sysctl -w net.ipv4.tcp_slow_start_after_idle=0"},
		{"net.ipv4.tcp_notsent_lowat", Improvable, "131072", "sysctl -w net.ipv4.tcp_notsent_lowat=131072"},
		{"net.ipv4.tcp_rmem", OK, "", ""}, // left alone
		{"transparent_hugepage", Improvable, "madvise", "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"},
		{"memory.max", NotApplicable, "", ""},
		{"GOMEMLIMIT", NotApplicable, "", ""},
		{"GOGC", OK, "", ""},
	} {
		f := of(t, found, c.name)
		if f.Status != c.status || f.Want != c.want || !strings.HasPrefix(f.Fix, c.fix) {
			t.Errorf("%s: %s, want %q, fix %q; expected %s, %q, %q", c.name, f.Status, f.Want, f.Fix, c.status, c.want, c.fix)
		}
		if f.Reason == "" || len(f.Sources) == 0 {
			t.Errorf("%s has no reason or source", c.name)
		}
	}
	for _, f := range found {
		if f.Status == Harmful {
			t.Errorf("harmful on a machine with defaults: %+v", f)
		}
		if f.Name == "net.ipv4.ip_local_port_range" {
			t.Error("a server needs no port range")
		}
	}
	ports := of(t, Default().Check(m, Request{Profile: Loadgen, Conns: 1}), "net.ipv4.ip_local_port_range")
	if ports.Status != Improvable || ports.Want != "10240 65535" || ports.Fix != `sysctl -w net.ipv4.ip_local_port_range="10240 65535"` {
		t.Errorf("port range of a load generator: %+v", ports)
	}
}

// Limits that nobody's wish is too high for give no warning.
func TestCheckDefaultsAreFine(t *testing.T) {
	for _, r := range []Request{{}, {Conns: 1_000}, {Conns: 16_000}, {Conns: -1, Processes: -1}} {
		for _, f := range Default().Check(fake(t, nil), r) {
			if f.Fault() {
				t.Errorf("for %d connections: %+v", r.Conns, f)
			}
		}
	}
}

func TestCheckLimits(t *testing.T) {
	for _, c := range []struct {
		soft, hard string
		r          Request
		status     Status
		least      string
	}{
		{"1024", "100064", Request{Conns: 100_000}, OK, "100064"},
		{"1024", "100063", Request{Conns: 100_000}, Lacking, "100064"},
		{"20000", "20000", Request{Conns: 100_000, Processes: 6}, OK, "20000"},
		{"20000", "16730", Request{Conns: 100_000, Processes: 6}, Lacking, "16731"},
		{"1024", "unlimited", Request{Conns: 1 << 24}, OK, "unlimited"},
		{"1024", "4095", Request{}, Lacking, "4096"},
		{"1024", "many", Request{}, Unreadable, ""},
	} {
		f := of(t, Default().Check(fake(t, with("/proc/self/limits", limitsFile(c.soft, c.hard))), c.r), "RLIMIT_NOFILE")
		if f.Status != c.status || f.Least != c.least {
			t.Errorf("hard limit %s for %+v: %s, least %s; want %s, %s", c.hard, c.r, f.Status, f.Least, c.status, c.least)
		}
		if f.Status == Lacking && !strings.Contains(f.Fix, "LimitNOFILE=1048576") {
			t.Errorf("fix %q", f.Fix)
		}
	}
	for _, text := range []string{"nothing of the kind\n", "Max open files\n"} {
		if f := of(t, Default().Check(fake(t, with("/proc/self/limits", text)), Request{}), "RLIMIT_NOFILE"); f.Status != Unreadable {
			t.Errorf("%q: %s", text, f.Status)
		}
	}
}

// What cannot be read is named and does not keep the rest from being checked.
func TestCheckGoesOn(t *testing.T) {
	m := fake(t, with("/proc/sys/net/core/somaxconn", "", "/proc/sys/fs/file-max", "", "/proc/sys/vm/swappiness", "\n", "/proc/sys/net/ipv4/tcp_mem", "1 2"))
	if err := os.Mkdir(m.path("/proc/sys/fs/file-max"), 0o755); err != nil {
		t.Fatal(err)
	}
	found := Default().Check(m, hundredThousand)
	if f := of(t, found, "net.core.somaxconn"); f.Status != Absent || f.Fault() {
		t.Errorf("absent: %+v", f)
	}
	for name, want := range map[string]string{"fs.file-max": "is a directory", "vm.swappiness": "is empty", "net.ipv4.tcp_mem": "2 fields, not 3"} {
		if f := of(t, found, name); f.Status != Unreadable || !f.Fault() || !strings.Contains(f.Error, want) {
			t.Errorf("%s: %+v, want %q", name, f, want)
		}
	}
	if f := of(t, found, "GOGC"); f.Status != OK {
		t.Errorf("after those: %+v", f)
	}
	if err := m.Supported(); err != nil {
		t.Error(err)
	}
	if err := (&Machine{Root: t.TempDir()}).Supported(); err == nil {
		t.Error("a directory without /proc/sys is supported")
	}
}

// Each harmful row can be found, and is not when it is undone.
func TestCheckFindsHarm(t *testing.T) {
	sys := func(name string) string { return fileOf(Sysctl, name, "") }
	for _, c := range []struct {
		name, value string
		env         []string
		r           Request
		harm        bool
	}{
		{name: "net.ipv4.tcp_tw_recycle", value: "1", harm: true},
		{name: "net.ipv4.tcp_tw_recycle", value: "0"},
		{name: "net.ipv4.tcp_tw_reuse", value: "1", harm: true},
		{name: "net.ipv4.tcp_tw_reuse", value: "1", r: Request{Profile: Loadgen}},
		{name: "net.ipv4.tcp_timestamps", value: "0", harm: true},
		{name: "net.ipv4.tcp_timestamps", value: "2"},
		{name: "net.ipv4.tcp_sack", value: "0", harm: true},
		{name: "net.ipv4.tcp_window_scaling", value: "0", harm: true},
		{name: "net.ipv4.tcp_syncookies", value: "0", harm: true},
		{name: "net.ipv4.tcp_syncookies", value: "2", harm: true},
		{name: "net.ipv4.tcp_abort_on_overflow", value: "1", harm: true},
		{name: "net.ipv4.tcp_fin_timeout", value: "5", harm: true},
		{name: "net.ipv4.tcp_fin_timeout", value: "15"},
		{name: "net.ipv4.tcp_mem", value: "786432 1048576 1048577", harm: true}, // bytes, on a machine of 1048576 pages
		{name: "net.ipv4.tcp_mem", value: "45000 60000 1048576"},
		{name: "net.ipv4.tcp_rmem", value: "65537 131072 6291456", harm: true},
		{name: "net.ipv4.tcp_rmem", value: "4096 16777216 16777216", harm: true},
		{name: "net.ipv4.tcp_rmem", value: "4096 131072 134217728", harm: true},
		{name: "net.ipv4.tcp_wmem", value: "131072 131072 4194304", harm: true},
		{name: "net.ipv4.tcp_wmem", value: "4096 16384 134217728", harm: true},
		{name: "net.core.rmem_default", value: "33554432", harm: true},
		{name: "net.core.wmem_default", value: "33554432", harm: true},
		{name: "net.ipv4.ip_local_port_range", value: "1024 65535", harm: true},
		{name: "net.ipv4.ip_local_port_range", value: "7800 65535"},
		{name: "net.ipv4.tcp_max_orphans", value: "10", harm: true},
		{name: "vm.overcommit_memory", value: "1", harm: true},
		{name: "vm.overcommit_memory", value: "2", harm: true},
		{name: "GOGC", env: []string{"GOGC=off"}, harm: true},
		{name: "GOGC", env: []string{"GOGC=off", "GOMEMLIMIT=1GiB"}},
		{name: "GOGC", env: []string{"GOGC=5"}, harm: true},
		{name: "GOGC", env: []string{"GOGC="}},
		{name: "GOGC", env: []string{"GOGC=five"}},
	} {
		changes := map[string]string{}
		if c.value != "" {
			changes[sys(c.name)] = c.value + "\n"
		}
		m := fake(t, changes)
		m.Environ = c.env
		n := 0
		for _, f := range Default().Check(m, c.r) {
			if f.Status == Harmful {
				n++
				if f.Name != c.name || f.Fix == "" || f.Reason == "" || !f.Fault() {
					t.Errorf("%s = %s: %+v", c.name, c.value, f)
				}
			}
		}
		if n > 0 != c.harm {
			t.Errorf("%s = %s %v: %d harmful, want %v", c.name, c.value, c.env, n, c.harm)
		}
	}
	m := fake(t, with(sys("net.ipv4.ip_local_port_range"), "1024 65535", sys("net.ipv4.ip_local_reserved_ports"), "7600-7799"))
	for _, f := range Default().Check(m, Request{}) {
		if f.Status == Harmful {
			t.Errorf("harmful though the ports are reserved: %+v", f)
		}
	}
	m = fake(t, with("/proc/self/limits", limitsFile("1024", "1073741816")))
	if f := of(t, Default().Check(m, Request{}), "RLIMIT_NOFILE", Harmful); f.Want != "1048576" {
		t.Errorf("%+v", f)
	}
}

func TestControlGroups(t *testing.T) {
	for _, c := range []struct {
		name    string
		files   map[string]string
		memory  Status
		golimit string // of GOMEMLIMIT set to 1TiB: what is wanted instead
		cpus    string // of GOMAXPROCS set to 64
	}{
		{"none", nil, NotApplicable, "", ""},
		{"version 2 in a container", with("/sys/fs/cgroup/memory.max", "1073741824\n", "/sys/fs/cgroup/cpu.max", "250000 100000\n"), OK, "597727638", "3"},
		{"version 2, limit of a group above", with("/proc/self/cgroup", "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max", "max\n", "/sys/fs/cgroup/a/memory.max", "1073741824\n", "/sys/fs/cgroup/a/b/cpu.max", "max 100000\n"), OK, "597727638", ""},
		{"version 1", with("/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/x y\n0::/\n", "/sys/fs/cgroup/memory/x y/memory.limit_in_bytes", "1073741824\n",
			"/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_quota_us", "50000\n", "/sys/fs/cgroup/cpu,cpuacct/x/cpu.cfs_period_us", "100000\n"), OK, "597727638", "2"},
		{"version 1 without limits", with("/proc/self/cgroup", "4:memory:/\n3:cpu:/\n", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n",
			"/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n", "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"), NotApplicable, "", ""},
		{"too little", with("/sys/fs/cgroup/memory.max", "268435456\n"), Lacking, "67108864", ""},
		{"more than the machine has", with("/sys/fs/cgroup/memory.max", "8589934592\n"), NotApplicable, "", ""},
		{"damaged", with("/proc/self/cgroup", "what\n", "/sys/fs/cgroup/memory.max", "1\n"), NotApplicable, "", ""},
		{"no file", with("/proc/self/cgroup", ""), NotApplicable, "", ""},
		{"no number", with("/sys/fs/cgroup/memory.max", "plenty\n"), NotApplicable, "", ""},
	} {
		m := fake(t, c.files)
		if limit, ok := Default().MemoryLimit(m, hundredThousand); ok != (c.golimit != "") {
			t.Errorf("%s: memory limit %d, %v", c.name, limit, ok)
		}
		m.Environ = []string{"GOMEMLIMIT=1TiB", "GOMAXPROCS=64"}
		found := Default().Check(m, hundredThousand)
		if f := of(t, found, "memory.max"); f.Status != c.memory {
			t.Errorf("%s: %+v", c.name, f)
		}
		if f := of(t, found, "GOMEMLIMIT"); f.Want != c.golimit {
			t.Errorf("%s: %+v", c.name, f)
		}
		if f := of(t, found, "GOMAXPROCS"); f.Want != c.cpus {
			t.Errorf("%s: %+v", c.name, f)
		}
		if _, ok := Default().MemoryLimit(m, hundredThousand); ok {
			t.Errorf("%s: a limit in the place of GOMEMLIMIT's", c.name)
		}
	}
	m := fake(t, with("/sys/fs/cgroup/memory.max", "1073741824\n"))
	if n, ok := Default().MemoryLimit(m, Request{Conns: 100_000, Processes: 4}); !ok || n != 597727638/4 {
		t.Errorf("each of four workers: %d, %v", n, ok)
	}
	if _, ok := (&Table{}).MemoryLimit(m, Request{}); ok {
		t.Error("a limit without a row for it")
	}
}

func TestParseNumber(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "12": 12, "1KiB": 1024, "2MiB": 2 << 20, "1GiB": 1 << 30, "3TiB": 3 << 40, "5B": 5, "max": 1<<63 - 1, "off": 1<<63 - 1, "18446744073709551615": 1<<63 - 1, "9000000TiB": 1<<63 - 1} {
		if got, err := parseNumber(text); got != want || err != nil {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "-1", "1.5", "KiB", "1 MiB", "x"} {
		if _, err := parseNumber(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
}

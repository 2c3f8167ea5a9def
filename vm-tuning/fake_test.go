package tuning

import (
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// untuned is a machine with the kernel's defaults on 4 GiB.
var untuned = map[string]string{
	"/proc/sys/fs/nr_open":                               "1048576\n",
	"/proc/sys/fs/file-max":                              "392000\n",
	"/proc/sys/fs/epoll/max_user_watches":                "900000\n",
	"/proc/sys/net/core/somaxconn":                       "4096\n",
	"/proc/sys/net/core/netdev_max_backlog":              "1000\n",
	"/proc/sys/net/ipv4/tcp_max_syn_backlog":             "512\n",
	"/proc/sys/net/ipv4/tcp_max_tw_buckets":              "16384\n",
	"/proc/sys/net/ipv4/ip_local_port_range":             "32768\t60999\n",
	"/proc/sys/net/ipv4/ip_local_reserved_ports":         "\n",
	"/proc/sys/net/ipv4/tcp_tw_reuse":                    "2\n",
	"/proc/sys/net/ipv4/tcp_keepalive_time":              "7200\n",
	"/proc/sys/net/ipv4/tcp_keepalive_intvl":             "75\n",
	"/proc/sys/net/ipv4/tcp_keepalive_probes":            "9\n",
	"/proc/sys/net/ipv4/tcp_slow_start_after_idle":       "1\n",
	"/proc/sys/net/ipv4/tcp_notsent_lowat":               "4294967295\n",
	"/proc/sys/net/ipv4/tcp_rmem":                        "4096\t131072\t6291456\n",
	"/proc/sys/net/ipv4/tcp_wmem":                        "4096\t16384\t4194304\n",
	"/proc/sys/net/ipv4/tcp_mem":                         "45000\t60000\t90000\n",
	"/proc/sys/net/ipv4/tcp_timestamps":                  "1\n",
	"/proc/sys/net/ipv4/tcp_sack":                        "1\n",
	"/proc/sys/net/ipv4/tcp_window_scaling":              "1\n",
	"/proc/sys/net/ipv4/tcp_syncookies":                  "1\n",
	"/proc/sys/net/ipv4/tcp_abort_on_overflow":           "0\n",
	"/proc/sys/net/ipv4/tcp_fin_timeout":                 "60\n",
	"/proc/sys/net/ipv4/tcp_max_orphans":                 "16384\n",
	"/proc/sys/vm/swappiness":                            "60\n",
	"/proc/sys/vm/max_map_count":                         "65530\n",
	"/proc/sys/vm/overcommit_memory":                     "0\n",
	"/proc/sys/kernel/random/boot_id":                    "0b00t\n",
	"/sys/kernel/mm/transparent_hugepage/enabled":        "[always] madvise never\n",
	"/proc/meminfo":                                      "MemTotal:        4194304 kB\nMemFree: 1 kB\n",
	"/proc/self/limits":                                  limitsFile("1024", "1048576"),
	"/proc/self/cgroup":                                  "0::/\n",
	"/sys/fs/cgroup/cgroup.controllers":                  "cpu memory\n",
	"/proc/sys/net/core/rmem_default":                    "212992\n",
	"/proc/sys/net/core/wmem_default":                    "212992\n",
	"/proc/sys/kernel/osrelease":                         "6.18.0\n",
	"/sys/kernel/mm/transparent_hugepage/hpage_pmd_size": "2097152\n",
}

func limitsFile(soft, hard string) string {
	return "Limit                     Soft Limit           Hard Limit           Units     \n" +
		"Max processes             30000                30000                processes \n" +
		"Max open files            " + soft + "                 " + hard + "               files     \n"
}

// fake writes untuned, with changes, below a new directory. A change to "" is a
// file that is not there.
func fake(t testing.TB, changes map[string]string) *Machine {
	t.Helper()
	files := maps.Clone(untuned)
	maps.Copy(files, changes)
	m := &Machine{Root: t.TempDir()}
	for name, text := range files {
		if text != "" {
			put(t, m, name, text)
		}
	}
	return m
}

func put(t testing.TB, m *Machine, name, text string) {
	t.Helper()
	path := m.path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, m *Machine, name string) string {
	t.Helper()
	text, err := m.text(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// lockFile makes a setting one that nobody may write, not even root: it becomes
// a link to a setting of the kernel's that is read-only.
func lockFile(t testing.TB, m *Machine, name string) {
	t.Helper()
	const readOnly = "/proc/sys/kernel/ostype"
	if runtime.GOOS != "linux" {
		t.Skip("a file that root cannot write is the kernel's, on Linux")
	}
	if err := os.Remove(m.path(name)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(readOnly, m.path(name)); err != nil {
		t.Fatal(err)
	}
}

// of returns the finding of that name and, if given, status.
func of(t testing.TB, found []Finding, name string, status ...Status) Finding {
	t.Helper()
	for _, f := range found {
		if f.Name == name && (len(status) == 0 || f.Status == status[0]) {
			return f
		}
	}
	t.Fatalf("no finding for %s %v", name, status)
	return Finding{}
}

func with(changes ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i < len(changes); i += 2 {
		m[changes[i]] = changes[i+1]
	}
	return m
}

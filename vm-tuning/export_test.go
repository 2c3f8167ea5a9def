package tuning

import (
	"regexp"
	"strings"
	"testing"
)

func export(t *testing.T, format string, r Request) *Export {
	t.Helper()
	e, err := Default().Export(format, r)
	if err != nil {
		t.Fatal(err)
	}
	if e.Format != format || e.Content == "" || e.Notes == nil {
		t.Errorf("%+v", e)
	}
	return e
}

func TestExportSysctl(t *testing.T) {
	c := export(t, "sysctl", hundredThousand).Content
	for _, want := range []string{"\nnet.core.somaxconn = 65535\n", "\n-net.netfilter.nf_conntrack_max = 262144\n", "\n# fs.file-max = 265536\n", "--for 100000"} {
		if !strings.Contains(c, want) {
			t.Errorf("no %q in\n%s", want, c)
		}
	}
	// What is derived from the machine, left alone or no sysctl is not set.
	for _, not := range []string{"\nfs.nr_open", "tcp_mem", "tcp_rmem", "hugepage", "GOGC", "NOFILE =", "port_range"} {
		if strings.Contains(c, not) {
			t.Errorf("%q in\n%s", not, c)
		}
	}
	line := regexp.MustCompile(`^(#.*|-?[a-z0-9_.]+ = [0-9][0-9 ]*|)$`)
	for i, l := range strings.Split(c, "\n") {
		if !line.MatchString(l) {
			t.Errorf("line %d: %q", i+1, l)
		}
	}
	if c := export(t, "sysctl", Request{Profile: Loadgen, Conns: 300_000}).Content; !strings.Contains(c, "\nnet.ipv4.ip_local_port_range = 10240 65535\n") ||
		!strings.Contains(c, "\n-net.netfilter.nf_conntrack_max = 600000\n") {
		t.Error(c)
	}
}

// What the file for sysctl.d sets satisfies check on the machine it is set on.
func TestExportSatisfiesCheck(t *testing.T) {
	for _, p := range Profiles {
		m := fake(t, nil)
		r := Request{Profile: p, Conns: 100_000}
		for line := range strings.Lines(export(t, "sysctl", r).Content) {
			if name, value, ok := strings.Cut(strings.TrimPrefix(line, "-"), " = "); ok && !strings.HasPrefix(line, "#") {
				put(t, m, fileOf(Sysctl, name, ""), value)
			}
		}
		for _, f := range Default().Check(m, r) {
			if f.Kind == Sysctl && f.Status != OK && f.Status != Absent && !f.knob.Derived && f.Name != "net.ipv4.tcp_mem" {
				t.Errorf("%s: %+v", p, f)
			}
		}
	}
}

func TestExportSystemd(t *testing.T) {
	c := export(t, "systemd", Request{Conns: 2_000_000}).Content
	for _, want := range []string{"\n[Service]\n", "\nLimitNOFILE=2065536\n", "\n#MemoryMax=10307108864\n", "daemon-reload"} {
		if !strings.Contains(c, want) {
			t.Errorf("no %q in\n%s", want, c)
		}
	}
}

func TestExportDocker(t *testing.T) {
	e := export(t, "docker", Request{Profile: Loadgen, Conns: 100_000})
	for _, want := range []string{"--ulimit nofile=1048576:1048576 \\\n", "--sysctl 'net.ipv4.ip_local_port_range=10240 65535'"} {
		if !strings.Contains(e.Content, want) {
			t.Errorf("no %q in\n%s", want, e.Content)
		}
	}
	if strings.Contains(e.Content, "netdev_max_backlog") || !strings.Contains(strings.Join(e.Notes, "\n"), "net.core.netdev_max_backlog") {
		t.Errorf("what belongs to the host: %+v", e)
	}
	if strings.HasSuffix(e.Content, "\\\n") || strings.Contains(e.Content, "#") {
		t.Errorf("not to be pasted: %s", e.Content)
	}
}

func TestExportKubernetes(t *testing.T) {
	c := export(t, "kubernetes", hundredThousand).Content
	safe, unsafe, ok := strings.Cut(c, "Unsafe by Kubernetes' list")
	if !ok || !strings.Contains(safe, "- name: net.ipv4.tcp_keepalive_intvl\n      value: \"30\"\n") || strings.Contains(safe, "somaxconn") {
		t.Errorf("safe part:\n%s", safe)
	}
	for _, want := range []string{"--allowed-unsafe-sysctls=net.core.somaxconn,", "- name: net.core.somaxconn\n      value: \"65535\"\n", "#   vm.swappiness=10\n"} {
		if !strings.Contains(unsafe, want) {
			t.Errorf("no %q in\n%s", want, c)
		}
	}
	if c := export(t, "kubernetes", Request{}).Content; !strings.Contains(c, "whose number nobody said") {
		t.Error(c)
	}
}

func TestExportUnknown(t *testing.T) {
	if _, err := Default().Export("registry", Request{}); err == nil {
		t.Error("no error")
	}
	broken := &Table{Knobs: []Knob{{Name: "a.b", Kind: Sysctl, Profiles: Profiles, Rule: AtLeast, Ours: []string{"1 / (CONNS - CONNS)"}}}}
	for _, f := range Formats {
		if _, err := broken.Export(f.Name, Request{}); err == nil {
			t.Errorf("%s: a formula that fails is no error", f.Name)
		}
	}
	if f := broken.Check(fake(t, with("/proc/sys/a/b", "1")), Request{}); len(f) != 1 || f[0].Status != Unreadable {
		t.Errorf("check: %+v", f)
	}
}

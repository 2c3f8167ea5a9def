package gen

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	tuning "github.com/rookery-server/rookery/vm-tuning"
)

// shells are those that are installed of the ones that scripts must run in.
func shells(t *testing.T) [][]string {
	t.Helper()
	var list [][]string
	seen := map[string]bool{}
	for _, s := range [][]string{{"sh"}, {"dash"}, {"bash", "--posix"}, {"busybox", "sh"}} {
		path, err := exec.LookPath(s[0])
		if err != nil {
			continue
		}
		if real, err := filepath.EvalSymlinks(path); err == nil && !seen[real] {
			seen[real] = true
			list = append(list, append([]string{path}, s[1:]...))
		}
	}
	if len(list) == 0 {
		t.Skip("no shell is installed")
	}
	if testing.Short() {
		return list[:1]
	}
	return list
}

// script runs one of the scripts and returns what it printed and its exit code.
func script(t *testing.T, shell []string, name string, args ...string) (out string, code int) {
	t.Helper()
	argv := slices.Concat(shell[1:], []string{filepath.Join("..", name)}, args)
	cmd := exec.Command(shell[0], argv...)
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	err := cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return b.String(), code
}

const (
	somaxconn = "/proc/sys/net/core/somaxconn"
	swappy    = "/proc/sys/vm/swappiness"
	boot      = "/proc/sys/kernel/random/boot_id"
)

// fakes are the settings of some machines.
var fakes = map[string]map[string]string{
	"untuned": {
		somaxconn: "4096", swappy: "60", boot: "b00t",
		"/proc/sys/fs/nr_open": "1048576", "/proc/sys/fs/file-max": "9223372036854775807", "/proc/sys/fs/epoll/max_user_watches": "100",
		"/proc/sys/net/core/netdev_max_backlog": "1000", "/proc/sys/net/ipv4/ip_local_port_range": "32768\t60999",
		"/proc/sys/net/ipv4/tcp_mem": "45000\t60000\t90000", "/proc/sys/net/ipv4/tcp_notsent_lowat": "4294967295",
		"/proc/sys/net/ipv4/tcp_keepalive_time": "7200", "/proc/sys/net/ipv4/tcp_slow_start_after_idle": "1", "/proc/sys/net/ipv4/tcp_tw_reuse": "0",
		"/sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never",
		"/proc/meminfo":     "MemTotal:  4194304 kB",
		"/proc/self/limits": "Max open files            1024                 20000               files",
	},
	"harmed": {
		somaxconn: "65535", swappy: "1", boot: "b00t",
		"/proc/sys/net/ipv4/tcp_mem": "786432 1048576 26777216", "/proc/sys/net/ipv4/tcp_rmem": "4096 16777216 134217728",
		"/proc/sys/net/ipv4/tcp_timestamps": "0", "/proc/sys/net/ipv4/tcp_tw_reuse": "1", "/proc/sys/net/ipv4/ip_local_port_range": "1024 65535",
		"/proc/sys/net/ipv4/ip_local_reserved_ports": "", "/proc/sys/net/ipv4/tcp_fin_timeout": "5", "/proc/sys/vm/overcommit_memory": "1",
		"/sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]",
		"/proc/meminfo":     "MemTotal:  4194304 kB",
		"/proc/self/limits": "Max open files            1024                 1073741816               files",
	},
	"reserved ports": {"/proc/sys/net/ipv4/ip_local_port_range": "1024 65535", "/proc/sys/net/ipv4/ip_local_reserved_ports": "7600-7799"},
	"odd": {
		somaxconn: "", swappy: "plenty", "/proc/sys/net/ipv4/tcp_mem": "1 2", "/proc/sys/fs/file-max": "18446744073709551615",
		"/proc/sys/net/ipv4/tcp_keepalive_intvl": "1 2 3",
		"/proc/self/limits":                      "nothing of the kind",
	},
	"unlimited": {somaxconn: "65535", "/proc/self/limits": "Max open files            1024                 unlimited            files"},
}

func fake(t *testing.T, files map[string]string) (root string) {
	t.Helper()
	root = t.TempDir()
	for name, text := range files {
		put(t, root, name, text)
	}
	return root
}

func put(t *testing.T, root, name, text string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, root, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(text), "\n")
}

// The scripts say of each setting what the program says.
func TestScriptsAgreeWithTheProgram(t *testing.T) {
	requests := []tuning.Request{
		{Profile: tuning.Server, Conns: 100_000, Processes: 1},
		{Profile: tuning.Loadgen, Conns: 100_000, Processes: 6},
		{Profile: tuning.Server, Conns: 0, Processes: 1},
	}
	for i, shell := range shells(t) {
		for _, name := range slices.Sorted(maps.Keys(fakes)) {
			root := fake(t, fakes[name])
			for j, r := range requests {
				if j > 0 && (i > 0 || name != "untuned") {
					break // what differs between shells and machines is not arithmetic
				}
				args := []string{"-r", root, "-p", string(r.Profile), "-c", strconv.FormatInt(r.Conns, 10), "-w", strconv.FormatInt(r.Processes, 10)}
				m := &tuning.Machine{Root: root}
				want, faults := expected(m, r)
				out, code := script(t, shell, "check.sh", args...)
				if got := said(out); !slices.Equal(got, want) {
					t.Errorf("%v, %s, %+v: check.sh says\n%s\nthe program\n%s", shell, name, r, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				if (code != 0) != faults || code > 1 {
					t.Errorf("%v, %s, %+v: exit code %d, faults %v", shell, name, r, code, faults)
				}
				wantSet := planned(m, r)
				out, _ = script(t, shell, "apply.sh", append(args, "-n")...)
				if got := linesWith(out, "would set: "); !slices.Equal(got, wantSet) {
					t.Errorf("%v, %s, %+v: apply.sh would set\n%s\nthe program\n%s", shell, name, r, strings.Join(got, "\n"), strings.Join(wantSet, "\n"))
				}
			}
		}
	}
}

// And of this machine, whose kernel has ways of its own to be read.
func TestScriptsReadTheKernel(t *testing.T) {
	m := &tuning.Machine{}
	if err := m.Supported(); err != nil {
		t.Skip(err)
	}
	r := tuning.Request{Profile: tuning.Server, Conns: 1_000_000, Processes: 1}
	for _, shell := range shells(t) {
		want := planned(m, r)
		out, _ := script(t, shell, "apply.sh", "-n", "-c", "1000000")
		if got := linesWith(out, "would set: "); !slices.Equal(got, want) {
			t.Errorf("%v: apply.sh would set\n%s\nthe program\n%s", shell, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		lines, _ := expected(m, r)
		out, _ = script(t, shell, "check.sh", "-c", "1000000")
		if got := said(out); !slices.Equal(got, lines) {
			t.Errorf("%v: check.sh says\n%s\nthe program\n%s", shell, strings.Join(got, "\n"), strings.Join(lines, "\n"))
		}
	}
}

// expected is what check.sh is to say, a line a finding.
func expected(m *tuning.Machine, r tuning.Request) (lines []string, faults bool) {
	for _, f := range tuning.Default().Check(m, r) {
		if f.Kind == tuning.Env || f.Kind == tuning.Cgroup {
			continue
		}
		lines = append(lines, fmt.Sprintf("%s %s", f.Status, f.Name))
		faults = faults || f.Fault()
	}
	return lines, faults
}

// said are the first two words of the lines that begin one.
func said(out string) (lines []string) {
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if len(f) >= 2 && line[0] != ' ' && f[0] != "for" && f[1] != "to" {
			lines = append(lines, f[0]+" "+f[1])
		}
	}
	return lines
}

func planned(m *tuning.Machine, r tuning.Request) (lines []string) {
	for _, c := range tuning.Default().Plan(m, r) {
		if c.Settable {
			lines = append(lines, fmt.Sprintf("%s: %s -> %s", c.Name, c.Old, c.New))
		}
	}
	return lines
}

func linesWith(out, prefix string) (lines []string) {
	for line := range strings.Lines(out) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), prefix); ok {
			lines = append(lines, rest)
		}
	}
	return lines
}

func TestScriptsApplyAndRevert(t *testing.T) {
	for _, shell := range shells(t) {
		root, state := fake(t, fakes["untuned"]), filepath.Join(t.TempDir(), "lib", "tune.tsv")
		args := []string{"-r", root, "-s", state}
		if out, code := script(t, shell, "apply.sh", append(args, "-n")...); code != 0 || get(t, root, somaxconn) != "4096" {
			t.Errorf("%v: dry run: %d\n%s", shell, code, out)
		}
		if _, err := os.Stat(filepath.Dir(state)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%v: a dry run saves: %v", shell, err)
		}
		out, code := script(t, shell, "apply.sh", args...)
		if code != 0 || get(t, root, somaxconn) != "65535" || get(t, root, swappy) != "10" || !strings.Contains(out, "by hand: RLIMIT_NOFILE") {
			t.Errorf("%v: apply: %d\n%s", shell, code, out)
		}
		if m := (&tuning.Machine{Root: root}); len(planned(m, tuning.Request{Conns: 100_000})) > 0 {
			t.Errorf("%v: after apply.sh there is more to set: %v", shell, planned(m, tuning.Request{Conns: 100_000}))
		}
		// Applied again, for another number: what was saved first is kept.
		put(t, root, swappy, "30")
		if out, code := script(t, shell, "apply.sh", append(args, "-c", "1000000")...); code != 0 {
			t.Errorf("%v: apply again: %d\n%s", shell, code, out)
		}
		put(t, root, "/proc/sys/net/ipv4/tcp_notsent_lowat", "7")
		out, code = script(t, shell, "revert.sh", append(args, "-n")...)
		if code != 0 || get(t, root, somaxconn) != "65535" || !strings.Contains(out, "would restore: "+somaxconn+": 65535 -> 4096") {
			t.Errorf("%v: dry revert: %d\n%s", shell, code, out)
		}
		out, code = script(t, shell, "revert.sh", args...)
		if code != 1 || !strings.Contains(out, "somebody has changed it since") || get(t, root, "/proc/sys/net/ipv4/tcp_notsent_lowat") != "7" {
			t.Errorf("%v: revert: %d\n%s", shell, code, out)
		}
		out, code = script(t, shell, "revert.sh", append(args, "-f")...)
		if code != 0 {
			t.Errorf("%v: revert by force: %d\n%s", shell, code, out)
		}
		for name, want := range fakes["untuned"] {
			if _, rest, marked := strings.Cut(want, "["); marked {
				want, _, _ = strings.Cut(rest, "]") // the fake file keeps what is written
			}
			if got := get(t, root, name); got != want {
				t.Errorf("%v: %s is %s, was %s", shell, name, got, want)
			}
		}
		if out, code := script(t, shell, "revert.sh", args...); code != 1 || !strings.Contains(out, "nothing to revert") {
			t.Errorf("%v: revert twice: %d\n%s", shell, code, out)
		}
		if left, err := os.ReadDir(filepath.Dir(state)); err != nil || len(left) > 0 {
			t.Errorf("%v: left behind: %v %v", shell, left, err)
		}
	}
}

// A setting that nobody may write is named, and the rest is set and restored.
func TestScriptsGoOn(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a file that root cannot write is the kernel's, on Linux")
	}
	for _, shell := range shells(t) {
		root, state := fake(t, fakes["untuned"]), filepath.Join(t.TempDir(), "tune.tsv")
		path := filepath.Join(root, somaxconn)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		// A small number that not even root may write.
		if err := os.Symlink("/proc/sys/kernel/cap_last_cap", path); err != nil {
			t.Fatal(err)
		}
		args := []string{"-r", root, "-s", state}
		out, code := script(t, shell, "apply.sh", args...)
		if code != 1 || get(t, root, swappy) != "10" || !strings.Contains(out, "-> 65535: it needs root") || !strings.Contains(out, "1 of the settings") {
			t.Errorf("%v: apply: %d\n%s", shell, code, out)
		}
		out, code = script(t, shell, "revert.sh", args...)
		if code != 0 || get(t, root, swappy) != "60" || strings.Contains(out, somaxconn) {
			t.Errorf("%v: revert: %d\n%s", shell, code, out)
		}
	}
}

func TestScriptsRefuse(t *testing.T) {
	for _, shell := range shells(t) {
		root := fake(t, fakes["untuned"])
		for _, args := range [][]string{{"-x"}, {"-p", "client"}, {"-c", "many"}, {"-c", "010"}, {"-c", ""}, {"-c", "123456789"}, {"-w", "0"}, {"-c", "1", "extra"}, {"-c"}} {
			for _, name := range []string{"check.sh", "apply.sh"} {
				if out, code := script(t, shell, name, slices.Concat([]string{"-r", root}, args)...); code != 2 || !strings.Contains(out, "usage: ") {
					t.Errorf("%v: %s %q: %d\n%s", shell, name, args, code, out)
				}
			}
		}
		if _, code := script(t, shell, "revert.sh", "-x"); code != 2 {
			t.Errorf("%v: revert.sh -x: %d", shell, code)
		}
		for _, name := range []string{"check.sh", "apply.sh"} {
			if out, code := script(t, shell, name, "-r", filepath.Join(root, "nowhere")); code != 1 || !strings.Contains(out, "no Linux settings") {
				t.Errorf("%v: %s without /proc/sys: %d\n%s", shell, name, code, out)
			}
		}
	}
}

// States that cannot be used change nothing; one of an earlier boot is replaced.
func TestScriptStates(t *testing.T) {
	for _, shell := range shells(t) {
		dir := t.TempDir()
		state := filepath.Join(dir, "tune.tsv")
		root := fake(t, fakes["untuned"])
		write := func(path, text string) {
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		args := []string{"-r", root, "-s", state}
		for _, c := range []struct{ file, text string }{{"tune.tsv", "{}\n"}, {"tune.tsv.lock", "1\n"}} {
			write(filepath.Join(dir, c.file), c.text)
			if c.file != "tune.tsv" {
				write(state, "# boot b00t\n/proc/sys/vm/swappiness\t1\t60\n")
			}
			for _, name := range []string{"apply.sh", "revert.sh"} {
				if out, code := script(t, shell, name, args...); code != 1 || get(t, root, swappy) != "60" {
					t.Errorf("%v: %s with %s %q: %d\n%s", shell, name, c.file, c.text, code, out)
				}
			}
			if err := os.Remove(filepath.Join(dir, c.file)); err != nil {
				t.Fatal(err)
			}
		}
		write(filepath.Join(dir, "secret"), "1\n")
		write(state, "# boot b00t\n/proc/sys/../../secret\t2\t1\n/etc/x\t2\t1\n")
		if out, code := script(t, shell, "revert.sh", args...); code != 1 || strings.Count(out, "not a setting") != 2 {
			t.Errorf("%v: revert of what is no setting: %d\n%s", shell, code, out)
		}
		write(state, "# boot earlier\n/proc/sys/vm/swappiness\t1\t60\n")
		if out, code := script(t, shell, "revert.sh", args...); code != 0 || get(t, root, swappy) != "60" || !strings.Contains(out, "restarted") {
			t.Errorf("%v: revert of an earlier boot: %d\n%s", shell, code, out)
		}
		write(state, "# boot earlier\n/proc/sys/vm/swappiness\t1\t60\n")
		if out, code := script(t, shell, "apply.sh", args...); code != 0 || strings.Contains(get(t, dir, "tune.tsv"), "earlier") {
			t.Errorf("%v: apply over one of an earlier boot: %d\n%s", shell, code, out)
		}
	}
}

package main

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// private runs a shell script in a network namespace of its own, as the root of
// a user namespace that is nobody outside: settings of the network are its own,
// and the kernel lets it change no other.
func private(script string, args ...string) *exec.Cmd {
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 65534, 65534 // outside root may write all settings
	}
	cmd := exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: gid, Size: 1}},
		Credential:  &syscall.Credential{NoSetGroups: true},
	}
	return cmd
}

// A kernel's own settings: those of a private network are set and restored, by
// the program and by the scripts; what belongs to the host is refused and named.
func TestTuneOnAKernel(t *testing.T) {
	const probe = "set -e; cat /proc/sys/net/core/somaxconn; echo 4095 > /proc/sys/net/core/somaxconn; echo 60 > /proc/sys/net/ipv4/tcp_keepalive_intvl"
	if out, err := private(probe).CombinedOutput(); err != nil {
		t.Skipf("no private network whose settings may be written: %v: %s", err, out)
	}
	dir := openDir(t)
	script := `
cd "$1" || exit 9
look() { cat /proc/sys/net/core/somaxconn /proc/sys/net/ipv4/tcp_keepalive_intvl /proc/sys/net/ipv4/ip_local_port_range; }
echo 1000 > /proc/sys/net/core/somaxconn
echo 75 > /proc/sys/net/ipv4/tcp_keepalive_intvl
echo "before: $(look)"
for way in program script; do
  apply="./rookery tune apply --state ./state"
  revert="./rookery tune revert --state ./state"
  if [ $way = script ]; then apply="./apply.sh -s ./state" revert="./revert.sh -s ./state"; fi
  $apply; echo "$way apply: exit $?"
  if [ $way = script ]; then $apply -p loadgen; else $apply --profile loadgen; fi
  echo "$way set: $(look)"
  $revert; echo "$way revert: exit $?"
  echo "$way reverted: $(look)"
done`
	host := hostSettings(t)
	cmd := private(script, dir)
	cmd.Env = []string{"PATH=/usr/bin:/bin"}
	raw, err := cmd.CombinedOutput()
	out := strings.Join(strings.Fields(string(raw)), " ") + " "
	if err != nil {
		t.Fatalf("%v\n%s", err, raw)
	}
	for _, way := range []string{"program", "script"} {
		require(t, out, way+" set: 65535 30 10240 65535 ", way+" revert: exit 0 ", way+" reverted: 1000 75 32768 60999 ")
	}
	if host != "" && !strings.Contains(host, " 10 ") { // vm.swappiness
		require(t, out, "program apply: exit 1 ", "script apply: exit 1 ", "vm.swappiness", "not permitted: it needs root")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 3 {
		t.Errorf("saved values are left: %v %v", left, err)
	}
	if now := hostSettings(t); now != host {
		t.Errorf("settings of this machine changed from %s to %s", host, now)
	}
}

// openDir returns a directory that nobody may use, with the program and the
// scripts in it.
func openDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "rookery-tune-") // not below t.TempDir, whose parents are closed to others
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable() // it is the command when it is called so
	if err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{"rookery": self, "apply.sh": "../../vm-tuning/apply.sh", "revert.sh": "../../vm-tuning/revert.sh"} {
		copyProgram(t, from, filepath.Join(dir, name))
	}
	return dir
}

func copyProgram(t *testing.T, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(out, in); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(to, 0o755); err != nil {
		t.Fatal(err)
	}
}

// hostSettings are some that the machine itself has.
func hostSettings(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, name := range []string{"net/core/somaxconn", "net/ipv4/tcp_keepalive_intvl", "net/ipv4/ip_local_port_range", "vm/swappiness", "net/core/netdev_max_backlog"} {
		text, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			continue // a container may have fewer
		}
		b.WriteString(" " + strings.TrimSpace(string(text)) + " ")
	}
	return b.String()
}

package tuning

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	somaxconn = "/proc/sys/net/core/somaxconn"
	swappy    = "/proc/sys/vm/swappiness"
	huge      = "/sys/kernel/mm/transparent_hugepage/enabled"
)

func statePath(t testing.TB) string { return filepath.Join(t.TempDir(), "lib", "tune.json") }

func plan(m *Machine) []Change { return Default().Plan(m, hundredThousand) }

// snapshot returns all settings.
func snapshot(t testing.TB, m *Machine) map[string]string {
	t.Helper()
	all := map[string]string{}
	for name := range untuned {
		if topOf(name) != "" {
			text := get(t, m, name)
			all[name] = chosen(text)
		}
	}
	return all
}

func TestApplyAndRevert(t *testing.T) {
	m, state := fake(t, nil), statePath(t)
	before := snapshot(t, m)
	changes := plan(m)
	if err := m.Apply(hundredThousand, changes, state); err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if c.Done != c.Settable || c.Error != "" {
			t.Errorf("%+v", c)
		}
		if c.Settable && get(t, m, c.File) != c.New {
			t.Errorf("%s is %s, want %s", c.Name, get(t, m, c.File), c.New)
		}
	}
	if got := get(t, m, somaxconn); got != "65535" {
		t.Errorf("somaxconn %s", got)
	}
	for _, f := range Default().Check(m, hundredThousand) {
		if f.Fault() || f.Status == Improvable && f.Name != "net.ipv4.tcp_mem" {
			t.Errorf("after apply: %+v", f)
		}
	}
	restored, err := m.Revert(state, RevertOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range restored {
		if !r.Done || r.Error != "" {
			t.Errorf("%+v", r)
		}
	}
	for name, want := range before {
		if got := chosen(get(t, m, name)); got != want {
			t.Errorf("%s is %s, was %s", name, got, want)
		}
	}
	if _, err := os.Stat(state); err == nil {
		t.Error("the state is there after all was restored")
	}
	if _, err := m.Revert(state, RevertOptions{}); !errors.Is(err, ErrNothingSaved) {
		t.Errorf("reverted twice: %v", err)
	}
	if entries, err := os.ReadDir(filepath.Dir(state)); err != nil || len(entries) > 0 {
		t.Errorf("left behind: %v %v", entries, err)
	}
}

// Values that are higher than needed are nobody's to lower.
func TestApplyLeavesWhatIsHigher(t *testing.T) {
	m := fake(t, with(somaxconn, "1000000\n", "/proc/sys/fs/file-max", "9223372036854775807\n", swappy, "1\n", huge, "always madvise [never]\n",
		"/proc/sys/net/ipv4/ip_local_port_range", "9000 60000\n"))
	for _, p := range Profiles {
		for _, c := range Default().Plan(m, Request{Profile: p, Conns: 100_000}) {
			switch c.File {
			case somaxconn, "/proc/sys/fs/file-max", swappy, huge:
				t.Errorf("%+v", c)
			case "/proc/sys/net/ipv4/ip_local_port_range":
				if c.New != "9000 65535" {
					t.Errorf("range %s, want it wider on both sides", c.New)
				}
			}
		}
	}
}

// What cannot be written is named, the rest is set and can be reverted.
func TestApplyPartly(t *testing.T) {
	m, state := fake(t, nil), statePath(t)
	lockFile(t, m, somaxconn)
	changes := plan(fake(t, nil)) // the link's text is no number, so the plan is another machine's
	err := m.Apply(hundredThousand, changes, state)
	if err == nil || err.Error() != "1 of the settings could not be changed" {
		t.Errorf("error %v", err)
	}
	for _, c := range changes {
		switch {
		case c.File == somaxconn && (c.Done || !strings.Contains(c.Error, "not permitted")):
			t.Errorf("%+v", c)
		case c.File != somaxconn && c.Done != c.Settable:
			t.Errorf("%+v", c)
		}
	}
	restored, err := m.Revert(state, RevertOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range restored {
		if r.File == somaxconn {
			t.Errorf("restored what was never changed: %+v", r)
		}
	}
	if got := get(t, m, swappy); got != "60" {
		t.Errorf("swappiness %s after revert", got)
	}
}

// Nothing can be written: nothing is saved, and each setting is named.
func TestApplyWithoutRights(t *testing.T) {
	m, state := fake(t, nil), statePath(t)
	changes := plan(m)
	for _, c := range changes {
		if c.Settable {
			lockFile(t, m, c.File)
		}
	}
	if err := m.Apply(hundredThousand, changes, state); err == nil {
		t.Error("no error")
	}
	for _, c := range changes {
		if c.Done || c.Settable && c.Error == "" {
			t.Errorf("%+v", c)
		}
	}
	if _, err := os.Stat(filepath.Dir(state)); err == nil {
		t.Error("a place for values that were never changed")
	}
}

// A setting that vanishes between plan and change fails alone; so does one that
// the kernel does not take as it is.
func TestApplyFailsHalfway(t *testing.T) {
	m, state := fake(t, nil), statePath(t)
	changes := plan(m)
	for i := range changes {
		if changes[i].File == swappy {
			changes[i].New = "10  10" // read back as "10 10": not what was written
		}
	}
	if err := os.Remove(m.path(somaxconn)); err != nil {
		t.Fatal(err)
	}
	err := m.Apply(hundredThousand, changes, state)
	if err == nil || !strings.Contains(err.Error(), "2 of the settings") {
		t.Errorf("error %v", err)
	}
	s, err := readState(state)
	if err != nil {
		t.Fatal(err)
	}
	if s.find(somaxconn) != nil {
		t.Error("saved a setting that is not there")
	}
	// It is another value than before all the same, so it can be reverted.
	if c := s.find(swappy); c == nil || c.Old != "60" || c.New != "10 10" {
		t.Errorf("saved %+v", c)
	}
	if _, err := m.Revert(state, RevertOptions{}); err != nil {
		t.Error(err)
	}
	if got := get(t, m, swappy); got != "60" {
		t.Errorf("swappiness %s", got)
	}
}

// A second apply keeps the values that the first one saved.
func TestApplyTwice(t *testing.T) {
	m, state := fake(t, nil), statePath(t)
	if err := m.Apply(Request{}, Default().Plan(m, Request{}), state); err != nil {
		t.Fatal(err)
	}
	put(t, m, swappy, "30\n") // somebody between the two
	if err := m.Apply(hundredThousand, plan(m), state); err != nil {
		t.Fatal(err)
	}
	s, err := readState(state)
	if err != nil {
		t.Fatal(err)
	}
	if c := s.find(swappy); c.Old != "60" || c.New != "10" {
		t.Errorf("saved %+v, want the value before the first", c)
	}
	if s.find(somaxconn) == nil || s.Conns != 100_000 {
		t.Errorf("the second is not in it: %+v", s)
	}
	if again := plan(m); m.Apply(hundredThousand, again, state) != nil {
		t.Error("a third one has nothing to do and fails")
	}
	if _, err := m.Revert(state, RevertOptions{}); err != nil {
		t.Fatal(err)
	}
	if get(t, m, swappy) != "60" || get(t, m, somaxconn) != "4096" {
		t.Errorf("swappiness %s, somaxconn %s", get(t, m, swappy), get(t, m, somaxconn))
	}
}

// A change that fails in a second apply does not lose what the first saved.
func TestApplyTwiceFailing(t *testing.T) {
	m, state := fake(t, nil), statePath(t)
	first := []Change{{Name: "vm.swappiness", Kind: Sysctl, File: swappy, Old: "60", New: "10", Settable: true}}
	if err := m.Apply(hundredThousand, first, state); err != nil {
		t.Fatal(err)
	}
	s, err := readState(state)
	if err != nil {
		t.Fatal(err)
	}
	c := &Change{Name: "vm.swappiness", Kind: Sysctl, File: swappy, Old: "10", New: "5"}
	kept := *s.find(swappy)
	s.find(swappy).New = "5"
	m.unsave(s, c, &kept)
	if got := s.find(swappy); *got != kept {
		t.Errorf("saved %+v, want %+v", got, kept)
	}
	// Nobody can tell what it is now: it stays saved.
	if err := os.Remove(m.path(swappy)); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(m.path(swappy), 0o755); err != nil {
		t.Fatal(err)
	}
	if m.unsave(s, c, nil); s.find(swappy) == nil {
		t.Error("forgotten")
	}
	// It is gone, and with it what to restore.
	if err := os.Remove(m.path(swappy)); err != nil {
		t.Fatal(err)
	}
	if m.unsave(s, c, nil); s.find(swappy) != nil {
		t.Error("a setting that is gone is saved")
	}
}

// After a restart the kernel has its defaults, and saved values mean nothing.
func TestStateOfAnEarlierBoot(t *testing.T) {
	m, state := fake(t, nil), statePath(t)
	if err := m.Apply(hundredThousand, plan(m), state); err != nil {
		t.Fatal(err)
	}
	again := fake(t, with("/proc/sys/kernel/random/boot_id", "b007\n", swappy, "50\n"))
	if _, err := again.Revert(state, RevertOptions{DryRun: true}); !errors.Is(err, ErrRestarted) {
		t.Errorf("error %v", err)
	}
	if err := again.Apply(hundredThousand, plan(again), state); err != nil {
		t.Fatal(err)
	}
	s, err := readState(state)
	if err != nil {
		t.Fatal(err)
	}
	if c := s.find(swappy); c == nil || c.Old != "50" {
		t.Errorf("saved %+v, want the value of this boot", c)
	}
	if _, err := m.Revert(state, RevertOptions{}); !errors.Is(err, ErrRestarted) {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(state); err == nil {
		t.Error("the state of another boot is kept")
	}
}

func TestRevertLeavesWhatOthersChanged(t *testing.T) {
	m, state := fake(t, nil), statePath(t)
	if err := m.Apply(hundredThousand, plan(m), state); err != nil {
		t.Fatal(err)
	}
	put(t, m, swappy, "33\n")
	put(t, m, "/proc/sys/net/ipv4/tcp_keepalive_probes", "9\n") // as it was before
	if err := os.Remove(m.path("/proc/sys/net/ipv4/tcp_notsent_lowat")); err != nil {
		t.Fatal(err)
	}
	dry, err := m.Revert(state, RevertOptions{DryRun: true})
	if err != nil || len(dry) == 0 || get(t, m, somaxconn) != "65535" {
		t.Errorf("dry run: %d, %v, somaxconn %s", len(dry), err, get(t, m, somaxconn))
	}
	restored, err := m.Revert(state, RevertOptions{})
	if err == nil || !strings.Contains(err.Error(), "2 of the settings were not restored") {
		t.Errorf("error %v", err)
	}
	for _, r := range restored {
		want := map[string]string{"vm.swappiness": "somebody has changed it", "net.ipv4.tcp_notsent_lowat": "no such file"}[r.Name]
		if r.Done != (want == "") || !strings.Contains(r.Error, want) {
			t.Errorf("%+v", r)
		}
	}
	if get(t, m, swappy) != "33" || get(t, m, somaxconn) != "4096" {
		t.Errorf("swappiness %s, somaxconn %s", get(t, m, swappy), get(t, m, somaxconn))
	}
	put(t, m, "/proc/sys/net/ipv4/tcp_notsent_lowat", "131072\n")
	if _, err := m.Revert(state, RevertOptions{Force: true}); err != nil {
		t.Fatal(err)
	}
	if get(t, m, swappy) != "60" || get(t, m, "/proc/sys/net/ipv4/tcp_notsent_lowat") != "4294967295" {
		t.Error("not restored by force")
	}
}

func TestRevertThatCannotWrite(t *testing.T) {
	m, state := fake(t, nil), statePath(t)
	if err := m.Apply(hundredThousand, plan(m), state); err != nil {
		t.Fatal(err)
	}
	lockFile(t, m, swappy)
	if _, err := m.Revert(state, RevertOptions{Force: true}); err == nil {
		t.Error("no error")
	}
	s, err := readState(state)
	if err != nil || len(s.Changes) != 1 || s.Changes[0].File != swappy {
		t.Errorf("saved %+v, %v", s, err)
	}
}

// A state that cannot be trusted stops both before anything is changed.
func TestBadState(t *testing.T) {
	for name, text := range map[string]string{
		"cut off":      `{"version":1,`,
		"newer":        `{"version":2}`,
		"elsewhere":    `{"version":1,"boot":"0b00t","changes":[{"name":"x","file":"/etc/passwd","old":"1","new":"2"}]}`,
		"climbing":     `{"version":1,"boot":"0b00t","changes":[{"name":"x","file":"/proc/sys/../../etc/passwd","old":"1","new":"2"}]}`,
		"without old":  `{"version":1,"boot":"0b00t","changes":[{"name":"x","file":"/proc/sys/vm/swappiness","old":"","new":"2"}]}`,
		"the top only": `{"version":1,"boot":"0b00t","changes":[{"name":"x","file":"/sys/","old":"1","new":"2"}]}`,
	} {
		m, state := fake(t, nil), statePath(t)
		before := snapshot(t, m)
		if err := os.MkdirAll(filepath.Dir(state), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(state, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := m.Apply(hundredThousand, plan(m), state); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("%s: apply: %v", name, err)
		}
		if _, err := m.Revert(state, RevertOptions{Force: true}); err == nil {
			t.Errorf("%s: revert: no error", name)
		}
		for file, want := range before {
			if got := chosen(get(t, m, file)); got != want {
				t.Errorf("%s: %s became %s", name, file, got)
			}
		}
		if got, err := os.ReadFile(state); err != nil || string(got) != text {
			t.Errorf("%s: the state was touched: %s %v", name, got, err)
		}
	}
}

func TestStateThatCannotBeSaved(t *testing.T) {
	m := fake(t, nil)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{filepath.Join(dir, "file", "tune.json"), dir} {
		if err := m.Apply(hundredThousand, plan(m), state); err == nil || !strings.Contains(err.Error(), "nothing was changed") {
			t.Errorf("%s: %v", state, err)
		}
	}
	if got := get(t, m, somaxconn); got != "4096" {
		t.Errorf("somaxconn %s", got)
	}
}

func TestOneAtATime(t *testing.T) {
	m, state := fake(t, nil), statePath(t)
	if err := m.Apply(hundredThousand, plan(m), state); err != nil {
		t.Fatal(err)
	}
	unlock, err := lock(state)
	if err != nil {
		t.Fatal(err)
	}
	put(t, m, swappy, "60\n")
	if err := m.Apply(hundredThousand, plan(m), state); !errors.Is(err, ErrBusy) {
		t.Errorf("apply: %v", err)
	}
	if _, err := m.Revert(state, RevertOptions{}); !errors.Is(err, ErrBusy) {
		t.Errorf("revert: %v", err)
	}
	unlock()
	if _, err := m.Revert(state, RevertOptions{}); err != nil {
		t.Error(err)
	}
}

// The state says what it is to somebody who has only that.
func TestStateForm(t *testing.T) {
	m, state := fake(t, nil), statePath(t)
	if err := m.Apply(hundredThousand, plan(m), state); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Version int
		Boot    string
		Profile string
		Conns   int
		Changes []struct{ Name, File, Old, New string }
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	if s.Version != 1 || s.Boot != "0b00t" || s.Profile != "server" || s.Conns != 100_000 || len(s.Changes) < 5 {
		t.Errorf("state %s", raw)
	}
}

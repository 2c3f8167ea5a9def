package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	tuning "github.com/rookery-server/rookery/vm-tuning"
)

// tune runs a tune command on m and requires its exit code.
func tune(t *testing.T, m *tuning.Machine, code int, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	args = slices.Concat([]string{"tune"}, args, []string{"--root", m.Root})
	if got := run(args, &out, &errs, m.Environ); got != code {
		t.Errorf("%q: exit code %d, want %d\n%s%s", args, got, code, &out, &errs)
	}
	return out.String(), errs.String()
}

func require(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("no %q in\n%s", p, text)
		}
	}
}

func setting(t *testing.T, m *tuning.Machine, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.Root, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

const (
	somaxconnFile  = "/proc/sys/net/core/somaxconn"
	swappinessFile = "/proc/sys/vm/swappiness"
)

func TestTuneCheck(t *testing.T) {
	m := fakeMachine(t, nil)
	out, errs := tune(t, m, exitFailed, "check", "--for", "100000")
	require(t, out, "for 100000 connections, profile server", "net.core.somaxconn is 4096, 25000 wanted", "fix: sysctl -w net.core.somaxconn=65535", "advised: vm.swappiness")
	require(t, errs, "1 setting is to mend for 100000 connections")
	out, errs = tune(t, m, exitOK, "check", "--for", "16000", "--workers", "2")
	require(t, out, "for 16000 connections, profile server, 2 processes", "advised: vm.swappiness is 60, 10 wanted")
	if errs != "" {
		t.Errorf("stderr %q", errs)
	}
	tune(t, m, exitFailed, "check", "--for", "16000", "--strict")

	harmed := fakeMachine(t, map[string]string{"/proc/sys/net/ipv4/tcp_timestamps": "0", swappinessFile: "many"})
	out, errs = tune(t, harmed, exitFailed, "check", "--for", "0")
	require(t, out, "harmful: net.ipv4.tcp_timestamps is 0", "source: https://", `unreadable: vm.swappiness: "many" is no whole number`)
	require(t, errs, "2 settings are to mend")

	var report struct {
		Profile  string
		Conns    int
		Faults   int
		Findings []tuning.Finding
	}
	out, _ = tune(t, harmed, exitFailed, "check", "--for", "0", "--json", "--profile", "loadgen")
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatal(err)
	}
	if report.Profile != "loadgen" || report.Conns != 0 || report.Faults != 1 || len(report.Findings) < 10 {
		t.Errorf("%+v", report)
	}

	_, errs = tune(t, &tuning.Machine{Root: t.TempDir()}, exitFailed, "check")
	require(t, errs, "no Linux settings to see")
}

func TestTuneDiff(t *testing.T) {
	m := fakeMachine(t, map[string]string{"/proc/self/limits": openFilesLimit("20000")})
	out, errs := tune(t, m, exitFailed, "diff")
	require(t, out, "--- now\n+++ for 100000 connections, profile server\n", "-net.core.somaxconn = 4096\n+net.core.somaxconn = 65535\n", "+RLIMIT_NOFILE = 1048576\n# by hand: raise it")
	require(t, errs, "3 settings are not as wanted")
	out, _ = tune(t, m, exitFailed, "diff", "--json")
	var changes []tuning.Change
	if err := json.Unmarshal([]byte(out), &changes); err != nil || len(changes) != 3 {
		t.Errorf("%v: %s", err, out)
	}
	m = fakeMachine(t, map[string]string{swappinessFile: "1"})
	if out, _ := tune(t, m, exitOK, "diff", "--for", "10"); out != "" {
		t.Errorf("nothing to change: %q", out)
	}
	if out, _ := tune(t, m, exitOK, "diff", "--for", "10", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("nothing to change: %q", out)
	}
}

func TestTuneApplyAndRevert(t *testing.T) {
	m := fakeMachine(t, nil)
	state := filepath.Join(t.TempDir(), "tune.json")
	out, _ := tune(t, m, exitOK, "apply", "--state", state, "--dry-run")
	require(t, out, "would set", "4096 -> 65535")
	if setting(t, m, somaxconnFile) != "4096" {
		t.Error("a dry run sets")
	}
	out, _ = tune(t, m, exitOK, "apply", "--state", state)
	require(t, out, "set ", "4096 -> 65535", "'rookery tune revert' restores them", "export sysctl")
	if setting(t, m, somaxconnFile) != "65535" || setting(t, m, swappinessFile) != "10" {
		t.Errorf("somaxconn %s", setting(t, m, somaxconnFile))
	}
	tune(t, m, exitOK, "check", "--strict")
	out, _ = tune(t, m, exitOK, "apply", "--state", state)
	require(t, out, "all settings are as wanted")

	out, _ = tune(t, m, exitOK, "revert", "--state", state, "--dry-run")
	require(t, out, "would restore", "65535 -> 4096")
	if err := os.WriteFile(filepath.Join(m.Root, swappinessFile), []byte("33\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, errs := tune(t, m, exitFailed, "revert", "--state", state)
	require(t, out, "restored", "left", "somebody has changed it since")
	require(t, errs, "1 of the settings were not restored")
	out, _ = tune(t, m, exitOK, "revert", "--state", state, "--force", "--json")
	var result struct {
		State    string
		Restored []tuning.Restored
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil || result.State != state || len(result.Restored) != 1 || !result.Restored[0].Done {
		t.Errorf("%v: %s", err, out)
	}
	if setting(t, m, somaxconnFile) != "4096" || setting(t, m, swappinessFile) != "60" {
		t.Errorf("somaxconn %s, swappiness %s", setting(t, m, somaxconnFile), setting(t, m, swappinessFile))
	}
	_, errs = tune(t, m, exitFailed, "revert", "--state", state)
	require(t, errs, "nothing to revert")
}

func TestTuneApplyJSON(t *testing.T) {
	m := fakeMachine(t, map[string]string{"/proc/self/limits": openFilesLimit("20000")})
	state := filepath.Join(t.TempDir(), "tune.json")
	out, _ := tune(t, m, exitOK, "apply", "--state", state, "--json")
	var result struct {
		DryRun  bool `json:"dry_run"`
		Changes []tuning.Change
	}
	if err := json.Unmarshal([]byte(out), &result); err != nil || result.DryRun || len(result.Changes) != 3 {
		t.Fatalf("%v: %s", err, out)
	}
	for _, c := range result.Changes {
		if c.Done != (c.Kind == tuning.Sysctl) {
			t.Errorf("%+v", c)
		}
	}
	// Saved by a machine that was restarted since: there is nothing to do, which
	// is no failure.
	boot := filepath.Join(m.Root, "/proc/sys/kernel/random/boot_id")
	if err := os.MkdirAll(filepath.Dir(boot), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(boot, []byte("another\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	out, errs := tune(t, m, exitOK, "revert", "--state", state, "--json")
	require(t, errs, "restarted since")
	require(t, out, `"restored": []`)
}

// Without the right to write, each setting is named and the rest goes on.
func TestTuneApplyDenied(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("a file that root cannot write is the kernel's, on Linux")
	}
	m := fakeMachine(t, nil)
	path := filepath.Join(m.Root, somaxconnFile)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/proc/sys/kernel/cap_last_cap", path); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(t.TempDir(), "tune.json")
	out, errs := tune(t, m, exitFailed, "apply", "--state", state)
	require(t, out, "failed", "not permitted: it needs root", "60 -> 10")
	require(t, errs, "1 of the settings could not be changed")
	if setting(t, m, swappinessFile) != "10" {
		t.Error("the rest was not set")
	}
	if err := os.WriteFile(state, []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, errs = tune(t, fakeMachine(t, nil), exitFailed, "apply", "--state", state)
	require(t, errs, "nothing was changed")
}

func TestTuneExport(t *testing.T) {
	m := &tuning.Machine{Root: t.TempDir()} // no machine is looked at
	for format, want := range map[string]string{
		"sysctl": "net.core.somaxconn = 65535\n", "systemd": "LimitNOFILE=1048576\n", "docker": "--ulimit nofile=", "kubernetes": "securityContext:",
	} {
		out, errs := tune(t, m, exitOK, "export", format)
		require(t, out, want)
		require(t, errs, "note: ")
		out, _ = tune(t, m, exitOK, "export", format, "--json", "--for", "300000")
		var e tuning.Export
		if err := json.Unmarshal([]byte(out), &e); err != nil || e.Format != format || e.Conns != 300_000 || !strings.Contains(e.Content, want) {
			t.Errorf("%v: %s", err, out)
		}
	}
}

func TestTuneUsage(t *testing.T) {
	for _, args := range [][]string{
		{"tune", "nonsense"}, {"tune", "check", "extra"}, {"tune", "check", "--profile", "client"}, {"tune", "check", "--for", "-1"}, {"tune", "check", "--for", "x"},
		{"tune", "check", "--workers", "0"}, {"tune", "export", "registry"}, {"tune", "revert", "--for", "1"}, {"tune", "apply", "--nonsense"},
	} {
		var out, errs bytes.Buffer
		if code := run(args, &out, &errs, nil); code != exitUsage || out.Len() > 0 {
			t.Errorf("%q: exit code %d\n%s%s", args, code, &out, &errs)
		}
	}
	for _, args := range [][]string{{"tune"}, {"tune", "--help"}, {"tune", "export"}, {"tune", "apply", "--help"}} {
		var out, errs bytes.Buffer
		if code := run(args, &out, &errs, nil); code != exitOK || out.Len() == 0 {
			t.Errorf("%q: exit code %d\n%s%s", args, code, &out, &errs)
		}
	}
}

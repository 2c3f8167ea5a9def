package tuning

import (
	"math"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// noLimitV1 is about what version 1 of control groups shows for no limit: the
// largest int64, rounded down to a page.
const noLimitV1 = math.MaxInt64 &^ (1<<16 - 1)

// memoryLimit returns the least memory limit, in bytes, of the process's
// control group and those above it. Limits of the whole machine's size and
// more are none.
func (m *Machine) memoryLimit() (bytes int64, ok bool) {
	least := int64(math.MaxInt64)
	for _, dir := range m.groups("memory") {
		for _, file := range []string{"memory.max", "memory.limit_in_bytes"} {
			text, err := m.text(path.Join(dir, file))
			if err != nil {
				continue // the other version's, or a group without the controller
			}
			if n, err := parseNumber(text); err == nil {
				least = min(least, n)
			}
		}
	}
	if kib, err := m.memTotal(); err == nil && least/1024 >= kib {
		return 0, false
	}
	return least, least < noLimitV1
}

// cpuQuota returns the least quota of processors of the process's control group
// and those above it, rounded up. The Go runtime never goes below 2.
func (m *Machine) cpuQuota() (cpus int64, ok bool) {
	least := int64(math.MaxInt64)
	for _, dir := range m.groups("cpu") {
		quota, period := m.quota(dir)
		if quota > 0 && period > 0 {
			least = min(least, (quota+period-1)/period)
		}
	}
	return max(least, 2), least != math.MaxInt64
}

// quota reads one group's, 0 for none.
func (m *Machine) quota(dir string) (quota, period int64) {
	if text, err := m.text(path.Join(dir, "cpu.max")); err == nil {
		q, p, _ := strings.Cut(text, " ")
		quota, _ = strconv.ParseInt(q, 10, 64) // "max" is none
		period, _ = strconv.ParseInt(p, 10, 64)
		return quota, period
	}
	if text, err := m.text(path.Join(dir, "cpu.cfs_quota_us")); err == nil {
		quota, _ = strconv.ParseInt(text, 10, 64) // -1 is none
	}
	if text, err := m.text(path.Join(dir, "cpu.cfs_period_us")); err == nil {
		period, _ = strconv.ParseInt(text, 10, 64)
	}
	return quota, period
}

// groups returns the directories of the process's control group for controller
// and of those above it, for both versions. In a container the group's path may
// be the host's, which is not there; the top always is.
func (m *Machine) groups(controller string) []string {
	raw, err := os.ReadFile(m.path("/proc/self/cgroup"))
	if err != nil {
		return nil
	}
	var dirs []string
	for line := range strings.Lines(string(raw)) {
		parts := strings.SplitN(strings.TrimRight(line, "\n"), ":", 3)
		if len(parts) != 3 {
			continue
		}
		var top []string
		switch {
		case parts[1] == "": // version 2, alone or beside version 1
			top = []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"}
		case slices.Contains(strings.Split(parts[1], ","), controller):
			top = []string{"/sys/fs/cgroup/" + parts[1], "/sys/fs/cgroup/" + controller}
		}
		for _, t := range top {
			for group := path.Clean("/" + parts[2]); ; group = path.Dir(group) {
				dirs = append(dirs, path.Join(t, group))
				if group == "/" {
					break
				}
			}
		}
	}
	return dirs
}

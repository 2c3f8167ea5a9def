package bench

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"syscall"
)

// Machine says where figures were measured.
type Machine struct {
	CPU         string `json:"cpu"`
	CPUs        int    `json:"cpus"`
	Memory      int64  `json:"memory"` // bytes
	Kernel      string `json:"kernel"`
	Go          string `json:"go"` // of the observer; servers of one build share it
	Descriptors int    `json:"descriptors"`
}

func (m Machine) String() string {
	return fmt.Sprintf("%d × %s, %.1f GB, Linux %s, %s, %s descriptors a process",
		m.CPUs, m.CPU, float64(m.Memory)/(1<<30), m.Kernel, m.Go, thousands(m.Descriptors))
}

// ThisMachine describes the machine as far as it can be read. It fails only when
// the limit of descriptors cannot be asked.
func ThisMachine() (Machine, error) {
	limit, err := descriptorLimit()
	if err != nil {
		return Machine{}, err
	}
	m := Machine{CPU: "unknown processor", CPUs: runtime.NumCPU(), Go: runtime.Version(), Descriptors: limit}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if name, ok := procField(text, "model name"); ok {
			m.CPU = name
		}
	}
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		if total, ok := procField(text, "MemTotal"); ok {
			if kb, err := strconv.ParseInt(string(bytes.Fields([]byte(total))[0]), 10, 64); err == nil {
				m.Memory = kb << 10
			}
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = string(bytes.TrimSpace(text))
	}
	return m, nil
}

// procField returns the value of the first line "name: value".
func procField(text []byte, name string) (string, bool) {
	for line := range bytes.Lines(text) {
		key, value, ok := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		if ok && string(bytes.TrimSpace(key)) == name && len(value) > 0 {
			return string(value), true
		}
	}
	return "", false
}

// descriptorLimit returns how many descriptors a process may have at most.
// The Go runtime raises the soft limit to the hard one by itself.
func descriptorLimit() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, os.NewSyscallError("getrlimit", err)
	}
	const enough = 1 << 30 // "infinity" is not a useful number
	return int(min(limit.Max, enough)), nil
}

// thousands writes n with a comma every three digits.
func thousands[T int | int64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	start := len(s) % 3
	if n < 0 {
		return "-" + thousands(-n)
	}
	out := s[:start]
	for i := start; i < len(s); i += 3 {
		if i > 0 {
			out += ","
		}
		out += s[i : i+3]
	}
	return out
}

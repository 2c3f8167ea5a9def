package tuning

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Machine is what is looked at and changed.
type Machine struct {
	// Root is the directory under which /proc and /sys are found; empty: that
	// of the running system.
	Root string
	// Environ is the environment that the Go runtime would see, as os.Environ
	// returns it.
	Environ []string
}

// Request is what a machine is to be good for.
type Request struct {
	Profile Profile // empty: Server
	// Conns are the connections to hold; 0: nobody says, and only what is too
	// low for any use is found.
	Conns int64
	// Processes among which the connections are divided; 0: one.
	Processes int64
}

func (r *Request) normal() Request {
	n := *r
	if n.Profile == "" {
		n.Profile = Server
	}
	n.Conns, n.Processes = max(n.Conns, 0), max(n.Processes, 1)
	return n
}

// Vars returns the variables of r that do not depend on a machine.
func (r *Request) Vars() Vars {
	n := r.normal()
	return Vars{varConns: n.Conns, varProcesses: n.Processes}
}

// vars adds what the machine tells.
func (m *Machine) vars(r *Request) Vars {
	v := r.Vars()
	if kib, err := m.memTotal(); err == nil {
		v[varMemPages] = kib / 4
	}
	if n, ok := m.memoryLimit(); ok {
		v[varMemory] = n
	}
	if n, ok := m.cpuQuota(); ok {
		v[varCPUs] = n
	}
	return v
}

// path returns where an absolute path of the machine is found.
func (m *Machine) path(name string) string {
	if m.Root == "" {
		return filepath.FromSlash(name)
	}
	return filepath.Join(m.Root, filepath.FromSlash(name))
}

// Supported reports whether m is a Linux system whose settings can be seen.
func (m *Machine) Supported() error {
	if _, err := os.Stat(m.path("/proc/sys")); err != nil {
		return fmt.Errorf("no Linux settings to see: %w", err)
	}
	return nil
}

// text returns what a file holds, fields separated by single spaces.
func (m *Machine) text(name string) (string, error) {
	raw, err := os.ReadFile(m.path(name))
	if err != nil {
		return "", plain(err)
	}
	return strings.Join(strings.Fields(string(raw)), " "), nil
}

// errEmpty is a file that exists and says nothing.
var errEmpty = errors.New("is empty")

// value returns the value of a setting. The error is fs.ErrNotExist where the
// machine has no such setting.
func (m *Machine) value(kind Kind, name, path string) (string, error) {
	switch kind {
	case Sysctl, Sysfs:
		text, err := m.text(fileOf(kind, name, path))
		if err != nil {
			return "", err
		}
		return chosen(text), nil
	case Limit:
		return m.openFiles()
	case Env:
		if v, ok := m.getenv(name); ok {
			return v, nil
		}
	case Cgroup:
		if n, ok := m.memoryLimit(); ok {
			return strconv.FormatInt(n, 10), nil
		}
	}
	return "", fs.ErrNotExist
}

// chosen returns the word in brackets, by which files of sysfs mark the choice
// among several, or text where there is none.
func chosen(text string) string {
	if _, rest, ok := strings.Cut(text, "["); ok {
		word, _, _ := strings.Cut(rest, "]")
		return word
	}
	return text
}

// openFiles returns the hard limit: a Go program raises its soft limit to it.
func (m *Machine) openFiles() (string, error) {
	raw, err := os.ReadFile(m.path("/proc/self/limits"))
	if err != nil {
		return "", plain(err)
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
			if f := strings.Fields(rest); len(f) >= 2 {
				return f[1], nil
			}
		}
	}
	return "", errors.New("/proc/self/limits has no line for open files")
}

// getenv returns a variable that is set to something; the last one counts.
func (m *Machine) getenv(name string) (value string, ok bool) {
	for _, kv := range m.Environ {
		if v, found := strings.CutPrefix(kv, name+"="); found {
			value, ok = v, v != ""
		}
	}
	return value, ok
}

// memTotal returns the memory of the machine in KiB.
func (m *Machine) memTotal() (int64, error) {
	raw, err := os.ReadFile(m.path("/proc/meminfo"))
	if err != nil {
		return 0, plain(err)
	}
	for line := range strings.Lines(string(raw)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == "MemTotal:" {
			return strconv.ParseInt(f[1], 10, 64)
		}
	}
	return 0, errors.New("/proc/meminfo has no line MemTotal")
}

// bootID names the time since the machine was started, "" where unknown.
func (m *Machine) bootID() string {
	id, err := m.text("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "" // then a restart is not noticed
	}
	return id
}

// canWrite tells whether a setting may be written, without writing.
func (m *Machine) canWrite(file string) error {
	f, err := os.OpenFile(m.path(file), os.O_WRONLY, 0)
	if err != nil {
		return denied(err)
	}
	return f.Close()
}

// write sets a setting and makes sure that it was taken.
func (m *Machine) write(file, value string) error {
	f, err := os.OpenFile(m.path(file), os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		return denied(err)
	}
	// One write: the kernel takes each as a whole value.
	_, err = f.WriteString(value + "\n")
	if err = errors.Join(plain(err), f.Close()); err != nil {
		return err
	}
	now, err := m.text(file)
	if err != nil {
		return err
	}
	if chosen(now) != value {
		return fmt.Errorf("the kernel made it %s", chosen(now))
	}
	return nil
}

// denied explains why a setting cannot be written.
func denied(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return errors.New("not permitted: it needs root, and a container may not do it")
	case errors.Is(err, syscall.EROFS):
		return errors.New("read-only here: set it on the host, or when the container is started")
	}
	return plain(err)
}

// plain takes the path, which is the reader's to say, from an error.
func plain(err error) error {
	var path *fs.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

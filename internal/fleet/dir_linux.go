package fleet

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	dirPrefix = "rookery-fleet-"
	// dirMax keeps the names of unix sockets in the directory below the 108
	// bytes that an address has room for.
	dirMax = 80
)

// A lockedDir is a directory that is this user's alone, for the sockets over
// which the processes of a node talk to each other. As long as the supervisor
// lives, in whatever container, the kernel holds its lock.
type lockedDir struct {
	path string
	lock *os.File
}

// makeDir makes one, and removes those whose supervisor was killed.
func makeDir() (*lockedDir, error) {
	base := os.TempDir()
	if len(base)+len(dirPrefix) > dirMax-20 {
		base = "/tmp"
	}
	removeStale(base)
	for tries := 0; ; tries++ {
		path, err := os.MkdirTemp(base, dirPrefix)
		if err != nil {
			return nil, fmt.Errorf("fleet: directory for sockets: %w", err)
		}
		lock, err := lockDir(path)
		if err == nil {
			return &lockedDir{path, lock}, nil
		}
		// Another supervisor took it for stale before it was locked.
		if tries == dirTries {
			return nil, fmt.Errorf("fleet: directory for sockets: %w", err)
		}
	}
}

// dirTries bounds how often the directory may be lost while it is made.
const dirTries = 10

// lockDir locks a directory unless somebody else has.
func lockDir(path string) (*os.File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err == nil {
		_, err = os.Lstat(path) // it may have gone between open and lock
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// remove removes the directory and what is in it.
func (d *lockedDir) remove() {
	_ = os.RemoveAll(d.path) // what is left the next supervisor removes
	_ = d.lock.Close()
}

// removeStale removes directories in base that are ours and nobody's any more.
func removeStale(base string) {
	found, err := filepath.Glob(filepath.Join(base, dirPrefix+"*"))
	if err != nil {
		return // the pattern is ours
	}
	for _, path := range found {
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() {
			continue
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
			continue
		}
		if lock, err := lockDir(path); err == nil {
			(&lockedDir{path, lock}).remove()
		}
	}
}

package tuning

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// DefaultState is where Apply keeps old values unless told otherwise.
const DefaultState = "/var/lib/rookery/tune.json"

// stateVersion is raised when files of before can no longer be read.
const stateVersion = 1

// state is what Apply saves: what was there before rookery changed anything.
type state struct {
	Version int       `json:"version"`
	Saved   time.Time `json:"saved"`
	// Boot is the start of the machine that the values belong to: the kernel
	// forgets them all with a restart.
	Boot    string        `json:"boot"`
	Profile Profile       `json:"profile"`
	Conns   int64         `json:"conns"`
	Changes []savedChange `json:"changes"`
}

// savedChange is one setting that was changed, or was about to be when the
// state was written.
type savedChange struct {
	Name string `json:"name"`
	File string `json:"file"`
	Old  string `json:"old"`
	New  string `json:"new"`
}

// readState returns nil when there is none.
func readState(path string) (*state, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &state{}
	if err := json.Unmarshal(raw, s); err != nil {
		return nil, fmt.Errorf("saved values in %s cannot be read (%w): put the settings right by hand and remove the file", path, err)
	}
	if s.Version != stateVersion {
		return nil, fmt.Errorf("saved values in %s are of version %d, not %d: revert them with the rookery that saved them", path, s.Version, stateVersion)
	}
	for _, c := range s.Changes {
		if !slices.Contains([]string{"/proc/sys/", "/sys/"}, topOf(c.File)) || c.Old == "" {
			return nil, fmt.Errorf("saved values in %s name %q: not written by rookery", path, c.File)
		}
	}
	return s, nil
}

// topOf returns the tree that a setting is in, "" for what is none.
func topOf(file string) string {
	if file != filepath.Clean(file) {
		return ""
	}
	for _, top := range []string{"/proc/sys/", "/sys/"} {
		if len(file) > len(top) && file[:len(top)] == top {
			return top
		}
	}
	return ""
}

// write replaces the file at path by s at once: a crash leaves the old one or
// the new one. Without changes there is no file.
func (s *state) write(path string) error {
	if len(s.Changes) == 0 {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	raw, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tune-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // gone already when all went well
	_, err = f.Write(append(raw, '\n'))
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename last.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// find returns the change of file, nil if there is none.
func (s *state) find(file string) *savedChange {
	for i := range s.Changes {
		if s.Changes[i].File == file {
			return &s.Changes[i]
		}
	}
	return nil
}

// drop forgets file.
func (s *state) drop(file string) {
	s.Changes = slices.DeleteFunc(s.Changes, func(c savedChange) bool { return c.File == file })
}

// ErrBusy is returned while another Apply or Revert works with the same state.
var ErrBusy = errors.New("another tune command is at work with the same saved values")

// lock keeps others away from the state at path until unlock. It locks the
// directory, so that no file is left behind; the kernel unlocks it if this
// process is killed.
func lock(path string) (unlock func(), err error) {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(d.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		d.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrBusy
		}
		return nil, err
	}
	return func() { d.Close() }, nil
}

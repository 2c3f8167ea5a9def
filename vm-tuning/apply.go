package tuning

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Apply makes the settable changes of plan on m, after it saved the old values
// in the file at path, and marks each change with how it went. It goes on after
// one that fails. The error is nil when all settable changes were made.
//
// An earlier state that was not reverted keeps its values: they are older, and
// what is new is added. One from before a restart of the machine is replaced,
// since the kernel has forgotten what it speaks of. One that cannot be read
// stops Apply before it changes anything.
func (m *Machine) Apply(r Request, plan []Change, path string) error {
	r = r.normal()
	var open []*Change
	failed := 0
	for i := range plan {
		c := &plan[i]
		if !c.Settable {
			continue
		}
		// Before anything is saved, so that somebody without the right to write
		// hears of each setting and not of the state file.
		if err := m.canWrite(c.File); err != nil {
			c.Error = err.Error()
			failed++
			continue
		}
		open = append(open, c)
	}
	if len(open) > 0 {
		n, err := m.applySaved(&r, open, path)
		if err != nil {
			return err
		}
		failed += n
	}
	if failed > 0 {
		return fmt.Errorf("%d of the settings could not be changed", failed)
	}
	return nil
}

// applySaved saves and makes changes. It returns how many failed.
func (m *Machine) applySaved(r *Request, open []*Change, path string) (failed int, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return 0, fmt.Errorf("old values cannot be saved, so nothing was changed: %w", err)
	}
	unlock, err := lock(path)
	if err != nil {
		return 0, fmt.Errorf("nothing was changed: %w", err)
	}
	defer unlock()
	s, err := readState(path)
	if err != nil {
		return 0, fmt.Errorf("nothing was changed: %w", err)
	}
	if s == nil || s.Boot != m.bootID() {
		s = &state{}
	}
	before := map[string]*savedChange{} // what an earlier Apply saved
	for _, c := range open {
		if old := s.find(c.File); old != nil {
			kept := *old
			before[c.File] = &kept
			old.New = c.New
		} else {
			s.Changes = append(s.Changes, savedChange{c.Name, c.File, c.Old, c.New})
		}
	}
	s.Version, s.Saved, s.Boot, s.Profile, s.Conns = stateVersion, time.Now().UTC(), m.bootID(), r.Profile, r.Conns
	if err := s.write(path); err != nil {
		return 0, fmt.Errorf("old values cannot be saved, so nothing was changed: %w", err)
	}
	for _, c := range open {
		err := m.write(c.File, c.New)
		if err == nil {
			c.Done = true
			continue
		}
		failed++
		c.Error = err.Error()
		m.unsave(s, c, before[c.File])
	}
	if failed > 0 {
		if err := s.write(path); err != nil {
			return failed, fmt.Errorf("%d settings could not be changed, and %s lists them still: %w", failed, path, err)
		}
	}
	return failed, nil
}

// unsave takes a change that failed out of the state, or back to what an
// earlier Apply saved. If the setting is another one now all the same, or may
// be, it stays.
func (m *Machine) unsave(s *state, c *Change, before *savedChange) {
	now, err := m.value(c.Kind, c.Name, c.File)
	switch {
	case err == nil && now != c.Old:
		s.find(c.File).New = now
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		// It cannot be known.
	case before != nil:
		*s.find(c.File) = *before
	default:
		s.drop(c.File)
	}
}

// Restored is what Revert did with one setting.
type Restored struct {
	Name string `json:"name"`
	File string `json:"file"`
	Now  string `json:"now"` // before
	Old  string `json:"old"` // to which it is restored
	// Done is set when it has its old value again.
	Done  bool   `json:"done"`
	Error string `json:"error,omitempty"`
}

// RevertOptions change what Revert does.
type RevertOptions struct {
	DryRun bool
	// Force restores also what somebody else has changed since.
	Force bool
}

// Errors of Revert.
var (
	ErrNothingSaved = errors.New("nothing to revert")
	// ErrRestarted is returned when the machine was started again since: its
	// settings are those it starts with. The state is removed.
	ErrRestarted = errors.New("the machine was restarted since, which has reverted it")
)

// Revert gives settings the values that Apply saved in the file at path, the
// last first. A setting that is neither as Apply left it nor as it was before
// belongs to somebody else now and is left. What could not be restored stays in
// the file; when all is restored the file is removed.
func (m *Machine) Revert(path string, o RevertOptions) ([]Restored, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: no saved values in %s", ErrNothingSaved, path)
	}
	unlock, err := lock(path)
	if err != nil {
		return nil, err
	}
	defer unlock()
	s, err := readState(path)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return nil, fmt.Errorf("%w: no saved values in %s", ErrNothingSaved, path)
	}
	if s.Boot != m.bootID() {
		if !o.DryRun {
			s.Changes = nil
			err = s.write(path)
		}
		return nil, errors.Join(ErrRestarted, err)
	}
	all, failed := m.restore(s, o)
	if o.DryRun {
		return all, nil
	}
	if err := s.write(path); err != nil {
		return all, fmt.Errorf("%s lists settings still that are restored: %w", path, err)
	}
	if failed > 0 {
		return all, fmt.Errorf("%d of the settings were not restored; %s keeps them", failed, path)
	}
	return all, nil
}

// restore goes through s from its end and drops what is as it was before.
func (m *Machine) restore(s *state, o RevertOptions) (all []Restored, failed int) {
	all = []Restored{}
	changes := append([]savedChange(nil), s.Changes...)
	for i := len(changes) - 1; i >= 0; i-- {
		c := &changes[i]
		r := m.restoreOne(c, o)
		all = append(all, r)
		switch {
		case r.Done:
			s.drop(c.File)
		case r.Error != "":
			failed++
		}
	}
	return all, failed
}

func (m *Machine) restoreOne(c *savedChange, o RevertOptions) Restored {
	r := Restored{Name: c.Name, File: c.File, Old: c.Old}
	now, err := m.text(c.File)
	if err != nil {
		r.Error = err.Error()
		return r
	}
	r.Now = chosen(now)
	switch {
	case r.Now == c.Old:
		r.Done = !o.DryRun
		return r
	case r.Now != c.New && !o.Force:
		r.Error = fmt.Sprintf("somebody has changed it since, from %s; left as it is (--force restores it)", c.New)
		return r
	case o.DryRun:
		return r
	}
	if err := m.write(c.File, c.Old); err != nil {
		r.Error = err.Error()
		return r
	}
	r.Done = true
	return r
}

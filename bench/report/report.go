package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/rookery-server/rookery/bench"
)

// Schema is the version of the JSON form of a Report. It changes when a reader
// of the former one would misread the new one.
const Schema = 1

// sizeMax is the longest JSON form that is read, in bytes.
const sizeMax = 256 << 20

// ErrNoReport says that a text is something else than a report.
var ErrNoReport = errors.New("report: not the result of a run of the suite")

// ErrSchema says that a report was written in a form that this program does not
// read.
var ErrSchema = errors.New("report: unknown schema")

// Report is the result of one run. It is data: not safe for concurrent change.
type Report struct {
	Schema   int           `json:"schema"`
	Title    string        `json:"title"`
	Taken    time.Time     `json:"taken"`   // when the run began
	Took     float64       `json:"took"`    // seconds
	Command  string        `json:"command"` // that repeats the run
	Version  string        `json:"version"` // of the servers
	Commit   string        `json:"commit"`
	Machine  bench.Machine `json:"machine"`
	Load     float64       `json:"load"` // threads that wanted a processor in the minute before
	Settings []Setting     `json:"settings"`
	Checks   []Check       `json:"checks"`
	Charts   []Chart       `json:"charts"`
	Notes    []string      `json:"notes"`
	// Unfinished says why the run ended early; empty when it did not.
	Unfinished string `json:"unfinished,omitempty"`
}

// Setting is one thing that was chosen for the run, such as the number of
// clients.
type Setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Verdict returns what the run as a whole came to: the worst verdict of its
// checks, and failed when it ended early or checked nothing.
func (r *Report) Verdict() Verdict {
	worst := Skipped
	for i := range r.Checks {
		if v := r.Checks[i].Verdict; v.rank() > worst.rank() {
			worst = v
		}
	}
	if r.Unfinished != "" || worst == Skipped {
		return Failed
	}
	return worst
}

// Count returns how many checks have the verdict v.
func (r *Report) Count(v Verdict) (n int) {
	for i := range r.Checks {
		if r.Checks[i].Verdict == v {
			n++
		}
	}
	return n
}

// Check returns the check of that name, nil if there is none.
func (r *Report) Check(id string) *Check {
	for i := range r.Checks {
		if r.Checks[i].ID == id {
			return &r.Checks[i]
		}
	}
	return nil
}

// WriteJSON writes the JSON form, indented.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// Read reads the JSON form. It fails with [ErrSchema] when the form is of
// another version, and refuses more than 256 MiB.
func Read(from io.Reader) (*Report, error) {
	text, err := io.ReadAll(io.LimitReader(from, sizeMax+1))
	if err != nil {
		return nil, err
	}
	if len(text) > sizeMax {
		return nil, fmt.Errorf("report: longer than %d bytes", sizeMax)
	}
	var form struct {
		Schema *int `json:"schema"`
	}
	if err := json.Unmarshal(text, &form); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoReport, err)
	}
	if form.Schema == nil || *form.Schema != Schema {
		return nil, fmt.Errorf("%w: this program reads %d", ErrSchema, Schema)
	}
	r := &Report{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if r.Checks == nil {
		return nil, fmt.Errorf("%w: no checks", ErrNoReport)
	}
	return r, nil
}

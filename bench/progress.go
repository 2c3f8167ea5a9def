package bench

import (
	"fmt"
	"io"
	"os"
)

// progress tells on a terminal what is going on, in one line that is written
// over; elsewhere in plain lines, one a step. The zero value is silent. One
// goroutine may use it.
type progress struct {
	w    io.Writer // nil: silent
	live bool      // w is a terminal
}

// newProgress returns the progress for f, silent when quiet.
func newProgress(f *os.File, quiet bool) *progress {
	if quiet {
		return &progress{}
	}
	return &progress{w: f, live: isTerminal(f)}
}

// step says that something new begins.
func (p *progress) step(format string, args ...any) {
	switch {
	case p.w == nil:
	case p.live:
		p.over(format, args...)
	default:
		_, _ = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// over replaces the line on a terminal and says nothing elsewhere.
func (p *progress) over(format string, args ...any) {
	if p.w != nil && p.live {
		_, _ = fmt.Fprintf(p.w, "\r\x1b[K"+format, args...)
	}
}

// clear removes the line before something else is printed.
func (p *progress) clear() { p.over("") }

// isTerminal reports whether f is a terminal (or another character device,
// which is close enough for deciding about colours).
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// paint colours words for a terminal.
type paint struct{ on bool }

// newPaint colours only terminals, and not with NO_COLOR (no-color.org).
func newPaint(f *os.File) paint { return paint{on: isTerminal(f) && os.Getenv("NO_COLOR") == ""} }

func (p paint) bad(s string) string { return p.wrap("31", s) }

func (p paint) wrap(code, s string) string {
	if !p.on {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

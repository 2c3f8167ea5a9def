package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// terminal is where a person reads.
type terminal struct {
	file  *os.File
	color bool
}

// openTerminal returns out as a terminal, unless it is none.
func openTerminal(out io.Writer, environ []string) (*terminal, bool) {
	f, ok := out.(*os.File)
	if !ok {
		return nil, false
	}
	if _, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err != nil {
		return nil, false
	}
	noColor, _ := variable(environ, "NO_COLOR") // see https://no-color.org: any value but none
	return &terminal{f, noColor == "" && !dumb(environ)}, true
}

// dumb reports whether the terminal only prints.
func dumb(environ []string) bool {
	kind, ok := variable(environ, "TERM")
	return !ok || kind == "" || kind == "dumb"
}

// size returns columns and lines. Some terminals, such as those of serial
// lines, do not know.
func (t *terminal) size() (width, height int) {
	ws, err := unix.IoctlGetWinsize(int(t.file.Fd()), unix.TIOCGWINSZ)
	if err != nil || ws.Col == 0 || ws.Row == 0 {
		return 80, 24
	}
	return int(ws.Col), int(ws.Row)
}

func (t *terminal) printer() printer {
	width, _ := t.size()
	return printer{width: width, color: t.color}
}

// screen is a terminal as a page that is painted again and again. What stood
// there before comes back at the end.
type screen struct{ *terminal }

// Orders to a terminal.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l" // another page, without cursor
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	topLeft     = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// openScreen takes the terminal over, if out is one that can be painted on.
func openScreen(out io.Writer, environ []string) (*screen, bool) {
	t, ok := openTerminal(out, environ)
	if !ok || dumb(environ) {
		return nil, false
	}
	_, err := io.WriteString(t.file, enterScreen)
	return &screen{t}, err == nil
}

func (s *screen) close() { _, _ = io.WriteString(s.file, leaveScreen) } // a terminal that is gone needs nothing

// show paints a page. It writes once and over what stood there, so that nothing
// flickers.
func (s *screen) show(out io.Writer, page *topPage) error {
	width, height := s.size()
	o := printer{width: width, color: s.color}
	lines := o.lines(page)
	if len(lines) >= height && height > 1 {
		left := len(lines) - (height - 1)
		lines = append(lines[:height-1], o.cut(fmt.Sprintf("... %s more: make the terminal taller or wider", plural(left, "line"))))
	}
	_, err := io.WriteString(out, topLeft+strings.Join(lines, clearLine+"\r\n")+clearLine+clearBelow)
	return err
}

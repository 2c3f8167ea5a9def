package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rookery-server/rookery/cluster"
)

// style is how a cell looks; the number is the terminal's, 0 is plain.
type style int

const (
	bold   style = 1
	red    style = 31
	green  style = 32
	yellow style = 33
)

// column is one figure of the table.
type column struct {
	head string
	show func(f *figures) (text string, s style)
}

func plain(show func(f *figures) string) func(*figures) (string, style) {
	return func(f *figures) (string, style) { return show(f), 0 }
}

// columns are those of the table, the important ones first.
var columns = []column{
	{"CONNS", plain(func(f *figures) string { return f.Connections.number() })},
	{"STREAMS", plain(func(f *figures) string { return f.Streams.number() })},
	{"SESSIONS", plain(func(f *figures) string { return f.Sessions.number() })},
	{"COPIES", plain(func(f *figures) string { return f.Copies.number() })},
	{"RECV/S", plain(func(f *figures) string { return f.Received.number() })},
	{"SENT/S", plain(func(f *figures) string { return f.Sent.number() })},
	{"CALLS/S", plain(func(f *figures) string { return f.Calls.number() })},
	{"P50", plain(func(f *figures) string { return f.CallP50.seconds() })},
	{"P99", plain(func(f *figures) string { return f.CallP99.seconds() })},
	{"WAIT99", plain(func(f *figures) string { return f.WaitP99.seconds() })},
	{"SHED/S", func(f *figures) (string, style) { return f.Shed.number(), warnAbove(f.Shed, yellow) }},
	{"CPU", plain(func(f *figures) string { return f.Processors.share() })},
	{"MEMORY", plain(func(f *figures) string { return f.Memory.bytes() })},
	{"MEM/CONN", plain(func(f *figures) string { return f.PerConn.bytes() })},
	{"GC/MIN", plain(func(f *figures) string { return f.GCs.number() })},
	{"GC99", plain(func(f *figures) string { return f.GCP99.seconds() })},
	{"GCMAX", plain(func(f *figures) string { return f.GCMax.seconds() })},
	{"LINKS", func(f *figures) (string, style) { return f.links(), warnAbove(f.Broken, red) }},
	{"LAG99", plain(func(f *figures) string { return f.LagP99.seconds() })},
	{"UNACKED", plain(func(f *figures) string { return f.Unacked.bytes() })},
	{"FILLED", func(f *figures) (string, style) { return f.filled() }},
	{"UP", plain(func(f *figures) string { return f.up() })},
}

func warnAbove(f figure, s style) style {
	if f > 0 {
		return s
	}
	return 0
}

// links are the connected ones of those there should be.
func (f *figures) links() string {
	if !f.Links.known() {
		return "-"
	}
	return fmt.Sprintf("%.0f/%.0f", float64(f.Links), float64(f.Links.plus(f.Broken)))
}

func (f *figures) filled() (string, style) {
	switch {
	case f.Filled == nil:
		return "-", 0
	case !*f.Filled:
		return "no", yellow
	}
	return "yes", 0
}

func (f *figures) up() string {
	if !f.Uptime.known() {
		return "-"
	}
	d := time.Duration(float64(f.Uptime) * float64(time.Second))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%.0fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 100*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%.0fd", d.Hours()/24)
}

func stateStyle(state string) style {
	switch state {
	case stateDown, cluster.Dead.String():
		return red
	case cluster.Alive.String(), stateAlone:
		return green
	}
	return yellow
}

// printer makes pages for a terminal or a file.
type printer struct {
	width int // columns; lines are not longer
	color bool
}

// table is one row of cells after another; the first is the head.
type table [][]cell

type cell struct {
	text string
	style
}

// lines returns the whole page: a summary, the figures in as many blocks as the
// width asks for, and what is to be said.
func (o *printer) lines(p *topPage) []string {
	down := 0
	for i := range p.Nodes {
		if p.Nodes[i].State == stateDown {
			down++
		}
	}
	head := fmt.Sprintf("rookery top  %s  %s", p.Taken.Local().Format(time.TimeOnly), plural(len(p.Nodes), "node"))
	if down > 0 {
		head += fmt.Sprintf(", %d down", down)
	}
	lines := []string{o.paint(cell{o.cut(head), bold})}
	t := tableOf(p)
	widths := t.widths()
	for first := fixedColumns; first < len(widths); {
		last := t.pack(widths, first, o.width)
		lines = append(lines, "")
		for i, row := range t {
			lines = append(lines, o.row(row, widths, first, last, i == 0))
		}
		first = last
	}
	return append(lines, o.notes(p)...)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// fixedColumns stand in every block: who and in what state.
const fixedColumns = 2

func tableOf(p *topPage) table {
	head := []cell{{"NODE", bold}, {"STATE", bold}}
	for _, c := range columns {
		head = append(head, cell{c.head, bold})
	}
	t := table{append(head, cell{"VERSION", bold})}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		state := n.State
		if n.Workers > 1 {
			state += fmt.Sprintf(" x%d", n.Workers)
		}
		t = append(t, rowOfCells(cell{clean(n.Node), 0}, cell{state, stateStyle(n.State)}, &n.figures, clean(n.Version)))
	}
	if len(p.Nodes) > 1 {
		t = append(t, rowOfCells(cell{"all", 0}, cell{}, &p.Total, ""))
	}
	return t
}

func rowOfCells(name, state cell, f *figures, version string) []cell {
	row := []cell{name, state}
	for _, c := range columns {
		text, s := c.show(f)
		row = append(row, cell{text, s})
	}
	return append(row, cell{version, 0})
}

// widths returns how wide each column is.
func (t table) widths() []int {
	w := make([]int, len(t[0]))
	for _, row := range t {
		for i, c := range row {
			w[i] = max(w[i], utf8.RuneCountInString(c.text))
		}
	}
	for i := fixedColumns; i < len(w)-1; i++ {
		w[i] = max(w[i], 6) // so that not everything moves when a figure grows
	}
	return w
}

// gap is between two columns.
const gap = 2

// pack returns the column before which the block that begins with first ends.
func (t table) pack(widths []int, first, width int) int {
	used := 0
	for _, w := range widths[:fixedColumns] {
		used += w + gap
	}
	if used+widths[first] > width {
		return len(widths) // not even one fits: who and in what state has to do
	}
	last := first
	for last < len(widths) {
		used += widths[last]
		if last > first && used > width {
			break
		}
		used += gap
		last++
	}
	return last
}

// row lays out the fixed columns and those from first to last. Text stands to
// the left, numbers to the right.
func (o *printer) row(row []cell, widths []int, first, last int, head bool) string {
	var b strings.Builder
	room := o.width
	put := func(c cell, pad int, right bool) {
		spaces := strings.Repeat(" ", max(pad-utf8.RuneCountInString(c.text), 0))
		text := c.text
		if room < utf8.RuneCountInString(text)+len(spaces) {
			return // wider than the terminal is: the name alone filled it
		}
		room -= utf8.RuneCountInString(text) + len(spaces) + gap
		if c.text == "" {
			b.WriteString(spaces)
		} else if right {
			b.WriteString(spaces + o.paint(c))
		} else {
			b.WriteString(o.paint(c) + spaces)
		}
		b.WriteString(strings.Repeat(" ", gap))
	}
	for i := range fixedColumns {
		put(row[i], widths[i], false)
	}
	for i := first; i < last; i++ {
		put(row[i], widths[i], i < len(row)-1)
	}
	return strings.TrimRight(b.String(), " ")
}

// notes are what no figure says.
func (o *printer) notes(p *topPage) []string {
	var lines []string
	if p.ViewsDiffer {
		lines = append(lines, o.paint(cell{o.cut("Nodes differ about who is alive: the network may be split."), yellow}))
	}
	for i := range p.Nodes {
		if n := &p.Nodes[i]; n.Error != "" {
			lines = append(lines, o.cut(fmt.Sprintf("%s: %s", clean(n.Node), clean(n.Error))))
		}
	}
	if len(lines) > 0 {
		lines = append([]string{""}, lines...)
	}
	return lines
}

// plainLine shows a node for those who read lines: name=value, all in one.
func plainLine(at time.Time, name, state, err, version string, f *figures) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", at.Local().Format(time.TimeOnly), clean(name))
	if state != "" {
		fmt.Fprintf(&b, " %s", state)
	}
	for _, c := range columns {
		text, _ := c.show(f)
		fmt.Fprintf(&b, " %s=%s", strings.ToLower(c.head), text)
	}
	if version != "" {
		fmt.Fprintf(&b, " version=%s", clean(version))
	}
	if err != "" {
		fmt.Fprintf(&b, " error=%q", err)
	}
	return b.String()
}

// plainLines are the lines of a page where there is no terminal.
func plainLines(p *topPage) []string {
	var lines []string
	for i := range p.Nodes {
		n := &p.Nodes[i]
		lines = append(lines, plainLine(p.Taken, n.Node, n.State, n.Error, n.Version, &n.figures))
	}
	if len(p.Nodes) > 1 {
		lines = append(lines, plainLine(p.Taken, "all", "", "", "", &p.Total))
	}
	return lines
}

func (o *printer) paint(c cell) string {
	if !o.color || c.style == 0 {
		return c.text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", c.style, c.text)
}

// cut shortens a line to the width.
func (o *printer) cut(line string) string {
	runes := []rune(line)
	if len(runes) <= o.width {
		return line
	}
	return string(runes[:max(o.width-3, 0)]) + "..."[:min(3, max(o.width, 0))]
}

// clean takes from a text of others what would steer the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

package bench

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// writeTable prints the report for people. All figures are medians.
func (r *MemReport) writeTable(w io.Writer, p paint) error {
	t := &table{paint: p}
	t.line("%s", r.Machine)
	t.line("Bytes are RssAnon + RssShmem of the server; medians; (min..max) over the runs.")
	if len(r.Rows) > 0 {
		t.idle(r.Rows)
	}
	t.waiting(r.Waiting)
	t.events(r.Events)
	t.closing(r.Notes, r.Breaches)
	_, err := io.WriteString(w, t.out.String())
	return err
}

// table collects aligned text.
type table struct {
	paint paint
	out   strings.Builder
	tabs  *tabwriter.Writer
}

func (t *table) line(format string, args ...any) { fmt.Fprintf(&t.out, format+"\n", args...) }

// closing prints what every report ends with.
func (t *table) closing(notes []string, breaches []Breach) {
	for _, n := range notes {
		t.line("Note: %s", n)
	}
	for _, b := range breaches {
		t.line("%s %s", t.paint.bad("OVER BUDGET"), b)
	}
}

// columns starts a block of aligned columns with its heading.
func (t *table) columns(heading string) {
	t.tabs = tabwriter.NewWriter(&t.out, 0, 0, 2, ' ', 0)
	t.cells(heading)
}

// cells adds a line to the block; tabs part the columns. The writer below
// cannot fail.
func (t *table) cells(text string) { _, _ = fmt.Fprintln(t.tabs, text) }

// flush ends the block.
func (t *table) flush() { _ = t.tabs.Flush() }

// idle prints what idle clients cost.
func (t *table) idle(rows []MemRow) {
	t.line("")
	t.columns("server\tclients\tcount\truns\taverage\t\tslope\t\tkernel\tlive heap\topened/s\tempty process")
	for i := range rows {
		t.row(&rows[i])
	}
	t.flush()
	for i := range rows {
		t.account(&rows[i])
	}
	t.bursts(rows)
}

func (t *table) row(r *MemRow) {
	last := r.Points[len(r.Points)-1].Clients
	kernel, live := "-", "-"
	if r.Kernel != nil {
		kernel = figure(r.Kernel.Median)
	}
	if r.LiveHeap != nil {
		live = figure(*r.LiveHeap)
	}
	t.cells(strings.Join([]string{
		r.Server, string(r.Kind), thousands(last), fmt.Sprint(r.Runs),
		figure(r.Average.Median), between(r.Average), figure(r.Slope.Median), between(r.Slope),
		kernel, live, thousands(int64(r.OpenRate.Median)), megabytes(r.Zero.Median),
	}, "\t"))
}

func between(s Spread) string {
	if len(s.Runs) < 2 {
		return ""
	}
	return fmt.Sprintf("(%s..%s)", thousands(int64(s.Min)), thousands(int64(s.Max)))
}

func megabytes(bytes float64) string { return fmt.Sprintf("%.1f MB", bytes/(1<<20)) }

// account prints where the bytes of one client are.
func (t *table) account(r *MemRow) {
	if len(r.Components) == 0 {
		return
	}
	var sum float64
	for _, c := range r.Components {
		sum += c.Bytes
	}
	t.line("\n%s %s: growth by component, bytes a client (a run of its own, %s in all)", r.Server, r.Kind, figure(sum))
	t.columns("  component\t   bytes")
	for _, c := range r.Components {
		if c.Bytes >= 0.5 || c.Bytes <= -0.5 {
			t.cells(fmt.Sprintf("  %s\t%8.1f", c.Name, c.Bytes))
		}
	}
	for _, c := range r.KernelBy {
		t.cells(fmt.Sprintf("  kernel: %s\t%8.1f", c.Name, c.Bytes))
	}
	t.flush()
}

// bursts prints what remains after all clients spoke at once, and came again.
func (t *table) bursts(rows []MemRow) {
	t.line("\nAll clients speak at once; all leave; as many come again:")
	t.columns("server\tclients\tbefore\tpeak\tafter\tgrowth\tback in\ttook\tp99\tall left\taverage again")
	for i := range rows {
		r := &rows[i]
		if r.Burst == nil {
			continue
		}
		t.cells(strings.Join([]string{
			r.Server, string(r.Kind), megabytes(r.Burst.Before.Median), megabytes(r.Burst.Peak.Median), megabytes(r.Burst.After.Median),
			fmt.Sprintf("%+.1f %%", 100*r.Burst.Growth.Median), fmt.Sprintf("%.1f s", r.Burst.Back.Median), fmt.Sprintf("%.2f s", r.Burst.Seconds.Median),
			fmt.Sprintf("%.0f ms", float64(r.Burst.Latency.P99)/1e6), megabytes(r.Closed.Median), figure(r.Reopened.Median),
		}, "\t"))
	}
	t.flush()
}

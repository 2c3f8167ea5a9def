package load

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// WriteText writes the result for people. An error of w is w's to remember.
func (r *Result) WriteText(w io.Writer) {
	fmt.Fprintf(w, "%s\n", r.Machine)
	o := &r.Options
	fmt.Fprintf(w, "%d clients, %s, %d targets, %d load processes\n\n", o.Clients, o.Protocol, len(o.Targets), r.Generator.Processes)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, m := range r.Ramps {
		fmt.Fprintf(t, "ramp\t%d clients in %v\t%.0f/s\thandshake p50 %v, p99 %v, max %v\n",
			m.Opened, m.Took.Round(time.Millisecond), m.PerSecond, short(m.Handshake.P50), short(m.Handshake.P99), short(m.Handshake.Max))
	}
	_ = t.Flush()
	for i := range r.Phases {
		r.Phases[i].writeText(w)
	}
	c := &r.Total
	fmt.Fprintf(w, "\nwhole run: %d failed calls (%d timeouts, %d connections lost meanwhile, %d HTTP statuses, %d error replies, %d wrong answers)\n",
		c.Failures(), c.Timeouts, c.Resets, c.Statuses, c.Faults, c.Wrong)
	fmt.Fprintf(w, "           %d answers verified, %d of them against an order, %d out of order, %d unasked\n",
		r.Checks.Verified, r.Checks.Ordered, r.Checks.OutOfOrder, r.Checks.Unasked)
	fmt.Fprintf(w, "           %d connections lost, %d back (%d with their last event id), %d handshakes refused, %d sessions lost, %d closed by us\n",
		c.Lost, c.Back, c.Resumed, c.Refused, c.Gone, c.Closed)
	if a := r.Events; a != nil {
		fmt.Fprintf(w, "events:    %d published, %d failed; %d heard by %d clients, %d missing, %d doubled, %d out of order; call p50 %v, last client p50 %v\n",
			a.Published, a.Failed, r.Checks.Heard, a.Clients, a.Missing, a.Doubled, a.Filled, short(a.Took.P50), short(a.Spread.P50))
	}
	g := &r.Generator
	fmt.Fprintf(w, "generator: %v CPU, %.1f MB in %d processes\n", g.CPU.Round(time.Millisecond), float64(g.Memory)/1e6, g.Processes)
	for _, e := range r.Errors {
		fmt.Fprintf(w, "error: %s\n", e)
	}
}

func (p *PhaseResult) writeText(w io.Writer) {
	c := &p.Counts
	fmt.Fprintf(w, "\n%s, %v: %.0f round trips/s, %d of %d clients connected\n", p.Name, p.Took().Round(time.Millisecond), p.PerSecond, p.Connected, p.Clients)
	fmt.Fprintf(w, "  due %d, sent %d, good %d, failed %d, notifications %d, late %d, dropped %d, retried %d\n",
		c.Due, c.Sent, c.Replies, c.Failures(), c.Notes, c.Late, c.Dropped, c.Retried)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "  latency\tmean\tp50\tp90\tp95\tp99\tp99.9\tp99.99\tmax\t")
	for _, l := range []struct {
		name string
		*Latency
	}{{"  from due", &p.Corrected}, {"  from sent", &p.Uncorrected}, {"  outage", &p.Outages.Length}} {
		if l.Count > 0 {
			fmt.Fprintf(t, "%s\t%v\t%v\t%v\t%v\t%v\t%v\t%v\t%v\t\n", l.name, short(l.Mean), short(l.P50), short(l.P90), short(l.P95), short(l.P99), short(l.P999), short(l.P9999), short(l.Max))
		}
	}
	_ = t.Flush()
	if n := c.Replies + c.Notes; n > 0 {
		fmt.Fprintf(w, "  generator: %v CPU a round trip\n", short(p.Generator.CPU/time.Duration(n)))
	}
}

// short rounds d to about three digits.
func short(d time.Duration) time.Duration {
	for unit := time.Duration(1); ; unit *= 10 {
		if d < 1000*unit {
			return d.Round(unit)
		}
	}
}

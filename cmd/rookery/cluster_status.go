package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/rookery-server/rookery/cluster"
)

// show runs f once, or with --watch again and again until the user has seen
// enough.
func show(cmd *cobra.Command, watch bool, every time.Duration, f func(ctx context.Context, w io.Writer) error) error {
	if !watch {
		return f(cmd.Context(), cmd.OutOrStdout())
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	tick := time.NewTicker(max(every, 100*time.Millisecond))
	defer tick.Stop()
	for {
		var page strings.Builder
		if err := f(ctx, &page); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			fmt.Fprintf(&page, "%v\n", err) // it may come back
		}
		fmt.Fprintf(cmd.OutOrStdout(), "\x1b[H\x1b[2J%s\n%s\n", time.Now().Format(time.TimeOnly), page.String())
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// showFlags are those of commands that print something again and again.
type showFlags struct {
	json, watch bool
	every       time.Duration
}

func (f *showFlags) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	cmd.Flags().BoolVar(&f.watch, "watch", false, "go on until Ctrl-C")
	cmd.Flags().DurationVar(&f.every, "every", time.Second, "time between two looks with --watch")
}

// statusRow is one node in `cluster status`.
type statusRow struct {
	Node      string `json:"node"`
	State     string `json:"state"`
	Workers   int    `json:"workers"`
	Sessions  int    `json:"sessions"` // at home there
	Copies    int    `json:"copies"`   // held for others
	Links     int    `json:"links"`    // connected
	LinksMax  int    `json:"links_wanted"`
	Filled    bool   `json:"filled"`
	Takeovers uint64 `json:"takeovers"`
	Fenced    uint64 `json:"fenced"`
	Forwarded uint64 `json:"forwarded"`
	Error     string `json:"error,omitempty"`
}

func newClusterStatus(a *admins) *cobra.Command {
	return newView("status", "Nodes, what they hold, and how well they are linked", func(ctx context.Context) (view, error) {
		_, answers, err := a.all(ctx)
		if err != nil {
			return view{}, err
		}
		rows := make([]statusRow, len(answers))
		for i := range answers {
			rows[i] = rowOf(&answers[i])
		}
		return view{rows, func(w io.Writer) error { return printStatus(w, rows) }}, nil
	})
}

// view is what a command shows, as JSON and for people.
type view struct {
	json  any
	print func(w io.Writer) error
}

// newView returns a command that shows what look finds, once or again and again.
func newView(use, short string, look func(ctx context.Context) (view, error)) *cobra.Command {
	var f showFlags
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs}
	f.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return show(cmd, f.watch, f.every, func(ctx context.Context, w io.Writer) error {
			v, err := look(ctx)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(w, v.json)
			}
			return v.print(w)
		})
	}
	return cmd
}

func rowOf(a *answer) statusRow {
	row := statusRow{Node: a.node.Name, State: a.node.Status(), Workers: len(a.node.Workers)}
	if a.err != nil {
		row.Error = a.err.Error()
		return row
	}
	row.Sessions, row.Copies, row.Filled = a.report.Homes(), a.report.Copies(), true
	for i := range a.report.Processes {
		p := &a.report.Processes[i]
		row.Filled = row.Filled && p.Filled
		row.Takeovers += p.Stats.Takeovers
		row.Fenced += p.Stats.Fenced
		row.Forwarded += p.Stats.Forwarded
		for _, l := range p.Links {
			if l.Alive {
				row.LinksMax++
			}
			if l.Alive && l.Connected {
				row.Links++
			}
		}
	}
	return row
}

func printStatus(w io.Writer, rows []statusRow) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "NODE\tSTATE\tWORKERS\tSESSIONS\tCOPIES\tLINKS\tFILLED\tTAKEN OVER\tFENCED\tFORWARDED")
	sessions := 0
	for _, r := range rows {
		if r.Error != "" {
			fmt.Fprintf(tw, "%s\t%s\t%d\t-\t-\t-\t-\t-\t-\t%s\n", r.Node, r.State, r.Workers, r.Error)
			continue
		}
		sessions += r.Sessions
		fmt.Fprintf(tw, "%s\t%s\t%d\t%d\t%d\t%d/%d\t%s\t%d\t%d\t%d\n", r.Node, r.State, r.Workers, r.Sessions, r.Copies,
			r.Links, r.LinksMax, yes(r.Filled), r.Takeovers, r.Fenced, r.Forwarded)
	}
	fmt.Fprintf(tw, "\t\t\t%d\n", sessions)
	return tw.Flush()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func newClusterMembers(a *admins) *cobra.Command {
	return newView("members", "Members as one node sees them, with their addresses", func(ctx context.Context) (view, error) {
		r, err := a.report(ctx)
		if err != nil {
			return view{}, err
		}
		return view{r.View, func(w io.Writer) error { return printMembers(w, r.View) }}, nil
	})
}

func printMembers(w io.Writer, v *cluster.View) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "NODE\tSTATE\tSINCE\tGOSSIP\tPEER\tADMIN\tWORKERS")
	for i := range v.Nodes {
		n := &v.Nodes[i]
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\t%d\n", n.Name, n.Status(), n.Since.Local().Format(time.DateTime), n.Gossip, n.Addr, dash(n.Admin), len(n.Workers))
	}
	return tw.Flush()
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// processRow is one process in `cluster sessions`.
type processRow struct {
	Process string `json:"process"`
	Homes   int    `json:"sessions"`
	Copies  int    `json:"copies"`
	Routes  int    `json:"routes"`
	Unacked int    `json:"unacked_bytes"`
	Moved   uint64 `json:"handed_over"`
	Arrived uint64 `json:"arrived"`
	Taken   uint64 `json:"takeovers"`
	Merged  uint64 `json:"merged"`
	NotHeld uint64 `json:"not_held"`
}

func newClusterSessions(a *admins) *cobra.Command {
	return newView("sessions", "Sessions by process: at home, held for others, on their way", func(ctx context.Context) (view, error) {
		_, answers, err := a.all(ctx)
		if err != nil {
			return view{}, err
		}
		rows := []processRow{}
		var silent []error
		for i := range answers {
			if answers[i].report == nil {
				silent = append(silent, fmt.Errorf("%s: %w", answers[i].node.Name, answers[i].err))
				continue
			}
			for j := range answers[i].report.Processes {
				rows = append(rows, processRowOf(&answers[i].report.Processes[j]))
			}
		}
		return view{rows, func(w io.Writer) error {
			printProcesses(w, rows)
			if err := errors.Join(silent...); err != nil {
				fmt.Fprintf(w, "not asked: %v\n", err)
			}
			return nil
		}}, nil
	})
}

func processRowOf(p *cluster.Status) processRow {
	row := processRow{
		Process: p.Self.String(), Homes: p.Homes, Copies: p.Copies, Routes: p.Routes, Moved: p.Stats.HandedOver,
		Arrived: p.Stats.Arrived, Taken: p.Stats.Takeovers, Merged: p.Stats.Merged, NotHeld: p.Stats.NotHeld,
	}
	for _, l := range p.Links {
		row.Unacked += l.Unacked
	}
	return row
}

func printProcesses(w io.Writer, rows []processRow) {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "PROCESS\tSESSIONS\tCOPIES\tROUTED\tUNACKED BYTES\tHANDED OVER\tARRIVED\tTAKEN OVER\tMERGED\tNOT HELD")
	for _, r := range rows {
		fmt.Fprintf(tw, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", r.Process, r.Homes, r.Copies, r.Routes, r.Unacked, r.Moved, r.Arrived, r.Taken, r.Merged, r.NotHeld)
	}
	_ = tw.Flush() // to a terminal or a string
}

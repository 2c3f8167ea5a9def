package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	tuning "github.com/rookery-server/rookery/vm-tuning"
)

func newTuneCheck(environ []string) *cobra.Command {
	f := &tuneFlags{environ: environ}
	strict := false
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Compare this machine with what the connections need; changes nothing",
		Long: `Compares each setting with what so many connections need, and looks for settings that do harm.
Ends with 0 when nothing needed is lacking and nothing harmful is set, else with 1. What would
merely be better is shown as advised; with --strict that ends with 1 too.`,
		Args: cobra.NoArgs,
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&strict, "strict", false, "what is advised must be as advised too")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		m := f.machine()
		if err := m.Supported(); err != nil {
			return err
		}
		found := tuning.Default().Check(m, f.request())
		faults := 0
		for i := range found {
			if found[i].Fault() || strict && found[i].Status == tuning.Improvable {
				faults++
			}
		}
		var err error
		if f.json {
			err = printJSON(cmd.OutOrStdout(), struct {
				Profile  string           `json:"profile"`
				Conns    int              `json:"conns"`
				Workers  int              `json:"workers"`
				Faults   int              `json:"faults"`
				Findings []tuning.Finding `json:"findings"`
			}{f.profile, f.conns, f.workers, faults, found})
		} else {
			err = printFindings(cmd.OutOrStdout(), f.goal(), found)
		}
		if err == nil && faults > 0 {
			err = fmt.Errorf("%s to mend for %s", countSettings(faults), f.goal())
		}
		return err
	}
	return cmd
}

func printFindings(w io.Writer, goal string, found []tuning.Finding) error {
	fmt.Fprintf(w, "for %s\n\n", goal)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "STATUS\tSETTING\tNOW\tNEEDED")
	for i := range found {
		f := &found[i]
		needed := f.Least
		if f.Status == tuning.OK {
			needed = ""
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", f.Status, f.Name, dash(f.Have), dash(needed))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	for i := range found {
		printRemedy(w, &found[i])
	}
	return nil
}

// printRemedy explains a finding that is not as it should be.
func printRemedy(w io.Writer, f *tuning.Finding) {
	switch f.Status {
	case tuning.Lacking, tuning.Improvable:
		fmt.Fprintf(w, "\n%s: %s is %s, %s wanted\n  otherwise: %s\n  why: %s\n  fix: %s\n", f.Status, f.Name, f.Have, f.Least, f.Effect, f.Reason, f.Fix)
	case tuning.Harmful:
		fmt.Fprintf(w, "\n%s: %s is %s\n  why: %s\n  fix: %s\n  source: %s\n", f.Status, f.Name, f.Have, f.Reason, f.Fix, strings.Join(f.Sources, " "))
	case tuning.Unreadable:
		fmt.Fprintf(w, "\n%s: %s: %s\n", f.Status, f.Name, f.Error)
	}
}

func newTuneDiff(environ []string) *cobra.Command {
	f := &tuneFlags{environ: environ}
	cmd := &cobra.Command{
		Use:   "diff",
		Short: "Show what apply would change, and what is to be done by hand",
		Long:  "Shows each setting that is not as wanted, before and after. Ends with 0 when there is none, else with 1.",
		Args:  cobra.NoArgs,
	}
	f.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		m := f.machine()
		if err := m.Supported(); err != nil {
			return err
		}
		plan := tuning.Default().Plan(m, f.request())
		if f.json {
			if err := printJSON(cmd.OutOrStdout(), plan); err != nil {
				return err
			}
		} else {
			printDiff(cmd.OutOrStdout(), f.goal(), plan)
		}
		if len(plan) > 0 {
			return errors.New(countSettings(len(plan)) + " not as wanted for " + f.goal())
		}
		return nil
	}
	return cmd
}

// countSettings counts them in words.
func countSettings(n int) string {
	if n == 1 {
		return "1 setting is"
	}
	return fmt.Sprintf("%d settings are", n)
}

func printDiff(w io.Writer, goal string, plan []tuning.Change) {
	if len(plan) == 0 {
		return
	}
	fmt.Fprintf(w, "--- now\n+++ for %s\n", goal)
	for i := range plan {
		c := &plan[i]
		fmt.Fprintf(w, "-%s = %s\n+%s = %s\n", c.Name, c.Old, c.Name, c.New)
		if !c.Settable {
			fmt.Fprintf(w, "# by hand: %s\n", c.Fix)
		}
	}
}

package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	tuning "github.com/rookery-server/rookery/vm-tuning"
)

func newTuneApply(environ []string) *cobra.Command {
	f := &tuneFlags{environ: environ}
	var state string
	var dry bool
	cmd := &cobra.Command{
		Use:   "apply",
		Short: "Save the old values and set those that are not as wanted",
		Long: `Sets what 'rookery tune diff' shows and a running machine can change. The old values are
saved first; 'rookery tune revert' restores them. Applied again, it keeps what it saved before.
Values that are higher than needed stay. What cannot be set, for lack of rights or in a
container, is named, the rest is set all the same, and it ends with 1.
The kernel forgets all of it with a restart: 'rookery tune export sysctl' is what stays.`,
		Args: cobra.NoArgs,
	}
	f.register(cmd)
	cmd.Flags().StringVar(&state, "state", tuning.DefaultState, "file for the old values")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "show what would be done and do nothing")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		m := f.machine()
		if err := m.Supported(); err != nil {
			return err
		}
		plan := tuning.Default().Plan(m, f.request())
		var failed error
		if !dry {
			failed = m.Apply(f.request(), plan, state)
		}
		if f.json {
			return errors.Join(printJSON(cmd.OutOrStdout(), struct {
				DryRun  bool            `json:"dry_run"`
				State   string          `json:"state"`
				Changes []tuning.Change `json:"changes"`
			}{dry, state, plan}), failed)
		}
		return errors.Join(printChanges(cmd.OutOrStdout(), plan, state, dry), failed)
	}
	return cmd
}

func printChanges(w io.Writer, plan []tuning.Change, state string, dry bool) error {
	if len(plan) == 0 {
		fmt.Fprintln(w, "all settings are as wanted")
		return nil
	}
	done := 0
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := range plan {
		c := &plan[i]
		what, note := "not set", ""
		switch {
		case !c.Settable:
			what, note = "by hand", c.Fix
		case c.Done:
			what = "set"
			done++
		case dry:
			what = "would set"
		case c.Error != "":
			what, note = "failed", c.Error
		}
		fmt.Fprintf(tw, "%s\t%s\t%s -> %s\t%s\n", what, c.Name, c.Old, c.New, note)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if done > 0 {
		fmt.Fprintf(w, "old values are saved in %s; 'rookery tune revert' restores them\n", state)
		fmt.Fprintln(w, "until the machine restarts; 'rookery tune export sysctl' writes a file that stays")
	}
	return nil
}

func newTuneRevert(environ []string) *cobra.Command {
	f := &tuneFlags{environ: environ}
	var state string
	var o tuning.RevertOptions
	cmd := &cobra.Command{
		Use:   "revert",
		Short: "Restore the values that apply saved",
		Long: `Restores the values that 'rookery tune apply' saved. What somebody else has changed since is
left and named, unless --force is given. What could not be restored stays saved, and it ends with 1.`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().SortFlags = false
	cmd.Flags().StringVar(&state, "state", tuning.DefaultState, "file with the old values")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "show what would be done and do nothing")
	cmd.Flags().BoolVar(&o.Force, "force", false, "restore also what somebody else has changed since")
	f.registerCommon(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		restored, err := f.machine().Revert(state, o)
		if errors.Is(err, tuning.ErrRestarted) {
			fmt.Fprintln(cmd.ErrOrStderr(), err)
			restored, err = []tuning.Restored{}, nil
		}
		if restored == nil {
			return err // nothing was tried
		}
		if f.json {
			return errors.Join(printJSON(cmd.OutOrStdout(), struct {
				DryRun   bool              `json:"dry_run"`
				State    string            `json:"state"`
				Restored []tuning.Restored `json:"restored"`
			}{o.DryRun, state, restored}), err)
		}
		return errors.Join(printRestored(cmd.OutOrStdout(), restored), err)
	}
	return cmd
}

func printRestored(w io.Writer, restored []tuning.Restored) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for i := range restored {
		r := &restored[i]
		what := "restored"
		switch {
		case r.Error != "":
			what = "left"
		case r.Now == r.Old:
			what = "as before"
		case !r.Done:
			what = "would restore"
		}
		fmt.Fprintf(tw, "%s\t%s\t%s -> %s\t%s\n", what, r.Name, dash(r.Now), r.Old, r.Error)
	}
	return tw.Flush()
}

func newTuneExport(environ []string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the settings for sysctl.d, systemd, Docker or Kubernetes",
		Long: `Writes settings for so many connections to standard output, and what the form cannot express
to standard error. It looks at no machine, so it works anywhere.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, form := range tuning.Formats {
		cmd.AddCommand(newTuneExportTo(environ, form))
	}
	return cmd
}

func newTuneExportTo(environ []string, form tuning.Format) *cobra.Command {
	f := &tuneFlags{environ: environ}
	cmd := &cobra.Command{Use: form.Name, Short: form.Short, Args: cobra.NoArgs}
	f.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		e, err := tuning.Default().Export(form.Name, f.request())
		if err != nil {
			return err
		}
		if f.json {
			return printJSON(cmd.OutOrStdout(), e)
		}
		for _, note := range e.Notes {
			fmt.Fprintf(cmd.ErrOrStderr(), "note: %s\n", note)
		}
		_, err = io.WriteString(cmd.OutOrStdout(), e.Content)
		return err
	}
	return cmd
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// effective is one row of check-config.
type effective struct {
	Name   string `json:"name"`
	Value  any    `json:"value"`
	Source string `json:"source"` // flag, env, file or default

	text string
}

// effective returns the settings in the order of the flags.
func (s *settings) effective() []effective {
	var rows []effective
	s.flags.VisitAll(func(f *pflag.Flag) {
		v := f.Value.(interface{ native() any })
		rows = append(rows, effective{f.Name, v.native(), s.origin[f.Name], f.Value.String()})
	})
	return rows
}

func newCheckConfig(environ []string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check-config",
		Short: "Print the settings in effect and where each is from, and refuse bad ones",
		Long: `Prints what 'rookery serve' would run with: takes the same flags, reads the same
ROOKERY_* variables and the same config file. Flags win over variables, those over
the file, that over defaults. An unknown key or a bad value ends with exit code 2.`,
		Args: cobra.NoArgs,
	}
	s := newSettings(cmd.Flags(), environ)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := s.load(); err != nil {
			return usageError{err}
		}
		advice := readLimits(environ).advice(&s.config)
		if asJSON {
			return printJSON(cmd.OutOrStdout(), struct {
				Settings []effective `json:"settings"`
				Advice   []advisory  `json:"advice"`
			}{s.effective(), advice})
		}
		if err := printSettings(cmd.OutOrStdout(), s.effective()); err != nil {
			return err
		}
		for _, a := range advice {
			fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s\n", a)
		}
		return nil
	}
	return cmd
}

func printSettings(w io.Writer, rows []effective) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SETTING\tVALUE\tFROM")
	for _, r := range rows {
		text := r.text
		if text == "" {
			text = `""`
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\n", r.Name, text, r.Source)
	}
	return tw.Flush()
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

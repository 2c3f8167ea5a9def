package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/rookery-server/rookery/bench/report"
)

// reportFlags are the flags of the command report.
type reportFlags struct {
	html   string
	json   bool
	schema bool
}

func newReport() *cobra.Command {
	var f reportFlags
	cmd := &cobra.Command{
		Use:   "report RUN.json | report OLD.json NEW.json",
		Short: "Show the result of a run of the suite, or compare two",
		Long: `With one file shows the run's checks as a table, or with --html writes the page
with its plots. With two files sets their checks side by side. - is standard
input.

Exits with 1 when a check of the run failed, or became worse enough in the
second run to fail its floor.`,
		Example: `  rookery report docs/results/suite-100k.json --html suite.html
  rookery report before.json after.json --json`,
		Args: cobra.RangeArgs(0, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			cmd.SilenceUsage = true
			return f.run(cmd, args)
		},
	}
	cmd.Flags().StringVar(&f.html, "html", "", "write the run as an HTML page into this file; - is standard output")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	cmd.Flags().BoolVar(&f.schema, "schema", false, "print the JSON schema of a run and exit")
	return cmd
}

func (f *reportFlags) run(cmd *cobra.Command, args []string) error {
	out := cmd.OutOrStdout()
	if f.schema {
		_, err := out.Write(report.JSONSchema())
		return err
	}
	var runs []*report.Report
	for _, name := range args {
		r, err := readReport(cmd.InOrStdin(), name)
		if err != nil {
			return err
		}
		runs = append(runs, r)
	}
	switch {
	case len(runs) == 0:
		return usageError{errors.New("which run? Name its JSON file")}
	case len(runs) == 2 && f.html != "":
		return usageError{errors.New("--html shows one run, not two")}
	case len(runs) == 2:
		return f.compare(out, runs[0], runs[1])
	}
	if err := f.show(out, runs[0]); err != nil {
		return err
	}
	if runs[0].Verdict() == report.Failed {
		return errors.New("the run failed")
	}
	return nil
}

// show prints a run.
func (f *reportFlags) show(out io.Writer, r *report.Report) error {
	switch {
	case f.html != "":
		var page bytes.Buffer
		if err := r.WriteHTML(&page); err != nil {
			return err
		}
		if f.html == "-" {
			_, err := out.Write(page.Bytes())
			return err
		}
		return os.WriteFile(f.html, page.Bytes(), 0o644)
	case f.json:
		return r.WriteJSON(out)
	}
	return r.WriteTable(out, coloured(out))
}

// compare prints two runs side by side.
func (f *reportFlags) compare(out io.Writer, before, after *report.Report) error {
	c := report.Compare(before, after)
	write := c.WriteTable
	if f.json {
		write = func(w io.Writer) error { return printJSON(w, c) }
	}
	if err := write(out); err != nil {
		return err
	}
	for i := range c.Changes {
		if d := &c.Changes[i]; d.Is == report.Failed && d.Was != report.Failed && d.Was != "" {
			return fmt.Errorf("%s failed, and did not before", d.ID)
		}
	}
	return nil
}

func readReport(stdin io.Reader, name string) (*report.Report, error) {
	if name == "-" {
		return report.Read(stdin)
	}
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	r, err := report.Read(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// coloured reports whether out is a terminal that may be coloured
// (no-color.org).
func coloured(out io.Writer) bool {
	file, ok := out.(*os.File)
	return ok && isTerminal(file) && os.Getenv("NO_COLOR") == ""
}

// isTerminal reports whether f is a terminal, or another character device,
// which is close enough for deciding how to write.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

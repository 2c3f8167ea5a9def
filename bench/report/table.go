package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// WriteTable writes the checks as a table and the verdict below it. With colour
// verdicts are coloured by ANSI sequences.
func (r *Report) WriteTable(w io.Writer, colour bool) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s\n%s\n\n", r.Title, r.Machine)
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	group := 0
	for i := range r.Checks {
		c := &r.Checks[i]
		if c.Group != group {
			group = c.Group
			fmt.Fprintf(t, "%d. %s\tmeasured\tfloor\tbar\t\n", group, strings.ToUpper(GroupName(group)))
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\n", c.What, c.got(), c.limit(c.Floor), c.limit(c.Bar), c.Verdict)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range r.Checks {
		if c := &r.Checks[i]; c.Detail != "" && c.Verdict != Passed {
			fmt.Fprintf(&out, "\n%s (%s): %s", c.ID, c.Verdict, c.Detail)
		}
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&out, "\nnote: %s", n)
	}
	fmt.Fprintf(&out, "\n%s\n", r.summary())
	text := out.String()
	if colour {
		text = paint.Replace(text)
	}
	_, err := io.WriteString(w, text)
	return err
}

// summary is the last line: the verdict and how many checks have which.
func (r *Report) summary() string {
	s := fmt.Sprintf("%s: %d passed, %d below bar, %d failed, %d without limit, %d skipped, in %.0f s",
		strings.ToUpper(string(r.Verdict())), r.Count(Passed), r.Count(BelowBar), r.Count(Failed), r.Count(Noted), r.Count(Skipped), r.Took)
	if r.Unfinished != "" {
		s += "; ended early: " + r.Unfinished
	}
	return s
}

// paint colours verdicts at the end of a line, where they do not disturb the
// width of a column.
var paint = strings.NewReplacer(
	"  passed\n", "  \x1b[32mpassed\x1b[0m\n",
	"  below bar\n", "  \x1b[33mbelow bar\x1b[0m\n",
	"  failed\n", "  \x1b[31mfailed\x1b[0m\n",
	"  skipped\n", "  \x1b[2mskipped\x1b[0m\n",
)

// WriteList writes the checks and their limits as a table.
func (r *Report) WriteList(w io.Writer) error {
	var out bytes.Buffer
	fmt.Fprintf(&out, "%s\n\n", r.Title)
	t := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "group\tcheck\tfloor\tbar\taim\tunit\twhat\n")
	for i := range r.Checks {
		c := &r.Checks[i]
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", c.Group, c.ID, c.limit(c.Floor), c.limit(c.Bar), c.limit(c.Aim), c.Unit, c.What)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := w.Write(out.Bytes())
	return err
}

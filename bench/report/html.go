package report

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"time"
)

// The plots are drawn by uPlot (MIT), which stands in the file whole, so that a
// report is one file that works without a network.
//
//go:embed assets/uPlot.iife.min.js assets/uPlot.min.css assets/page.css assets/page.js assets/page.tmpl schema.json
var assets embed.FS

var page = template.Must(template.New("page.tmpl").Funcs(template.FuncMap{
	"number": func(v *float64) string {
		if v == nil {
			return "–"
		}
		return Number(*v)
	},
	"limit": func(c *Check, v *float64) string { return c.limit(v) },
	"got":   func(c *Check) string { return c.got() },
	"class": func(v Verdict) string {
		return map[Verdict]string{Passed: "passed", Noted: "noted", BelowBar: "below", Failed: "failed", Skipped: "skipped"}[v]
	},
	"time":     func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"duration": func(s float64) string { return time.Duration(s * float64(time.Second)).Round(time.Second).String() },
}).ParseFS(assets, "assets/page.tmpl"))

// group is a group of checks as the page shows it.
type group struct {
	Number int
	Name   string
	Checks []*Check
}

// pageData is what the template fills in.
type pageData struct {
	*Report
	Outcome     Verdict
	Groups      []group
	Open        []*Check // those that missed a limit, failed ones first
	Style, Code template.HTML
	Data        template.JS
	Counts      []struct {
		Verdict Verdict
		N       int
	}
}

// WriteHTML writes the report as one HTML file with its plots, for light and
// dark schemes. Without scripts the tables are there and the plots are not.
func (r *Report) WriteHTML(w io.Writer) error {
	data, err := json.Marshal(r) // escapes <, > and &, so it may stand in a script
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	d := pageData{Report: r, Outcome: r.Verdict(), Data: template.JS(data)}
	for _, v := range []Verdict{Passed, BelowBar, Failed, Noted, Skipped} {
		if n := r.Count(v); n > 0 {
			d.Counts = append(d.Counts, struct {
				Verdict Verdict
				N       int
			}{v, n})
		}
	}
	for i := range r.Checks {
		c := &r.Checks[i]
		if n := len(d.Groups); n == 0 || d.Groups[n-1].Number != c.Group {
			d.Groups = append(d.Groups, group{Number: c.Group, Name: GroupName(c.Group)})
		}
		last := &d.Groups[len(d.Groups)-1]
		last.Checks = append(last.Checks, c)
	}
	for _, v := range []Verdict{Failed, BelowBar} {
		for i := range r.Checks {
			if r.Checks[i].Verdict == v {
				d.Open = append(d.Open, &r.Checks[i])
			}
		}
	}
	d.Style = template.HTML("<style>" + asset("uPlot.min.css") + asset("page.css") + "</style>")
	d.Code = template.HTML("<script>" + asset("uPlot.iife.min.js") + asset("page.js") + "</script>")
	var out bytes.Buffer
	if err := page.Execute(&out, d); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err = w.Write(out.Bytes())
	return err
}

// asset returns a file that is built in.
func asset(name string) string {
	text, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // the list above names it
	}
	return string(text) + "\n"
}

// JSONSchema returns the JSON schema (draft 2020-12) of a Report's JSON form.
func JSONSchema() []byte {
	text, err := assets.ReadFile("schema.json")
	if err != nil {
		panic(err) // the list above names it
	}
	return text
}

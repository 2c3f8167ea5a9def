// Package gen makes files from the table of package tuning that are of use
// without the program: scripts for a POSIX shell, a file for sysctl.d and the
// page docs/tuning.md. They are committed; the package's test fails when one is
// not what the table says, and writes it when run by 'go generate ./vm-tuning'.
package gen

import (
	"embed"
	"fmt"
	"strings"
	"text/template"

	tuning "github.com/rookery-server/rookery/vm-tuning"
)

//go:embed *.tmpl
var templates embed.FS

// Conns are the connections that 90-rookery.conf and the page speak of.
const Conns = 100_000

// Files returns the files by their paths from the root of the module.
func Files(t *tuning.Table) (map[string]string, error) {
	files := map[string]string{}
	conf, err := t.Export("sysctl", tuning.Request{Profile: tuning.Server, Conns: Conns})
	if err != nil {
		return nil, err
	}
	files["vm-tuning/90-rookery.conf"] = conf.Content
	if files["docs/tuning.md"], err = page(t); err != nil {
		return nil, err
	}
	data, err := shellTable(t)
	if err != nil {
		return nil, err
	}
	all, err := template.New("").Funcs(template.FuncMap{"quote": quote}).ParseFS(templates, "*.tmpl")
	if err != nil {
		return nil, err
	}
	for _, name := range []string{"check.sh", "apply.sh", "revert.sh"} {
		var b strings.Builder
		if err := all.ExecuteTemplate(&b, name+".tmpl", data); err != nil {
			return nil, err
		}
		files["vm-tuning/"+name] = b.String()
	}
	return files, nil
}

// shellData is the table as the scripts have it.
type shellData struct {
	Knobs []shellKnob
	Harms []shellHarm
}

// shellKnob holds words of a shell, but for the text, which is to be quoted.
type shellKnob struct{ Profiles, Name, File, Rule, Need, Ours, Least, Effect, Fix string }

type shellHarm struct {
	Profiles, Name, File string
	Field                int
	Is, Value            string
	Unless, Reason, Fix  string
}

// openFiles is where a script reads the limit of descriptors.
const openFiles = "/proc/self/limits"

// place returns the file that a script looks at, "" for none.
func place(kind tuning.Kind, file string) string {
	if kind == tuning.Limit {
		return openFiles
	}
	return file
}

// shellTable leaves out what a shell cannot see: variables of another process
// and the control group's limits.
func shellTable(t *tuning.Table) (*shellData, error) {
	d := &shellData{}
	for i := range t.Knobs {
		k := &t.Knobs[i]
		file := place(k.Kind, k.File())
		if file == "" {
			continue
		}
		ours, err := shellWords(k, k.Ours)
		if err != nil {
			return nil, err
		}
		least, err := shellWords(k, k.Least)
		if err != nil {
			return nil, err
		}
		s := shellKnob{
			Profiles: profiles(k.Profiles), Name: k.Name, File: file, Rule: string(k.Rule), Need: string(k.Need),
			Ours: ours, Least: least, Effect: k.Effect, Fix: strings.ReplaceAll(k.Fix, "VALUE", verbatim+strings.Trim(ours, `"`)+verbatim),
		}
		d.Knobs = append(d.Knobs, s)
	}
	for i := range t.Harmful {
		h := &t.Harmful[i]
		file := place(h.Kind, h.File())
		if file == "" {
			continue
		}
		f, err := tuning.ParseFormula(h.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", h.Name, err)
		}
		s := shellHarm{profiles(h.Profiles), h.Name, file, h.Field, h.Is, f.Shell(), "", h.Reason, h.Fix()}
		if h.Unless != "" {
			other := tuning.Harm{Kind: tuning.Sysctl, Name: h.Unless}
			s.Unless = other.File()
		}
		d.Harms = append(d.Harms, s)
	}
	return d, nil
}

// profiles joins them, all if there is none.
func profiles(list []tuning.Profile) string {
	if len(list) == 0 {
		list = tuning.Profiles
	}
	names := make([]string, len(list))
	for i, p := range list {
		names[i] = string(p)
	}
	return strings.Join(names, ",")
}

// shellWords returns a value as one word of a shell.
func shellWords(k *tuning.Knob, fields []string) (string, error) {
	parts := make([]string, len(fields))
	for i, text := range fields {
		parts[i] = text
		if k.Rule == tuning.Choice || text == "-" {
			continue
		}
		f, err := tuning.ParseFormula(text)
		if err != nil {
			return "", fmt.Errorf("%s: %w", k.Name, err)
		}
		// Quotes within $( ) are of their own.
		parts[i] = strings.TrimSuffix(strings.TrimPrefix(f.Shell(), `"`), `"`)
	}
	word := strings.Join(parts, " ")
	if strings.ContainsAny(word, " $") {
		return `"` + word + `"`, nil
	}
	return word, nil
}

// verbatim stands around a part of a text that quote leaves as it is.
const verbatim = "\x00"

// quote returns text as one word of a shell.
func quote(text string) string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, `$`, `\$`, "`", "\\`")
	parts := strings.Split(text, verbatim)
	for i := range parts {
		if i%2 == 0 {
			parts[i] = escape.Replace(parts[i])
		}
	}
	return `"` + strings.Join(parts, "") + `"`
}

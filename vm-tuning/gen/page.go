package gen

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	tuning "github.com/rookery-server/rookery/vm-tuning"
)

// head begins the page.
const head = `# Tuning a machine

<!-- Generated from vm-tuning/knobs.json by 'go generate ./vm-tuning'. Do not edit. -->

What decides how many clients a machine holds stands outside the program: sysctls, limits of descriptors, huge pages, the Go
runtime's variables, the control group. Most defaults of a Linux of today are right, and this page says which are not, and why.

` + "```" + `
rookery tune check --for 100000      # what is lacking, what is harmful, and what to do; changes nothing
rookery tune diff                    # what apply would change
sudo rookery tune apply              # saves the old values, sets new ones until the machine restarts
sudo rookery tune revert             # restores what apply saved
rookery tune export sysctl           # also systemd, docker, kubernetes: what stays
` + "```" + `

` + "`--profile loadgen`" + ` is for a machine that plays the clients, ` + "`--workers N`" + ` for a node of N processes. check ends with 0 when nothing that
is needed is lacking and nothing harmful is set, else with 1; what is merely advised counts with ` + "`--strict`" + ` only. What cannot be set, for
lack of rights or in a container, is named, and the rest is set all the same. Values that are higher than needed stay.
Without the program there are [check.sh, apply.sh and revert.sh](../vm-tuning) for any POSIX shell, and
[90-rookery.conf](../vm-tuning/90-rookery.conf). ` + "`rookery serve`" + ` says at its start what is lacking for its ` + "`--conns-max`" + `.

In the columns, CONNS are the connections, PROCESSES those they are divided among, CGROUP_MEMORY and CGROUP_CPUS the limits of
the control group; "-" is a field that is left alone. *Needed* is what check insists on, *ours* what is set where there is less.
`

// page writes the table for people.
func page(t *tuning.Table) (string, error) {
	var b strings.Builder
	b.WriteString(head)
	for _, part := range []struct {
		need  tuning.Need
		title string
	}{
		{tuning.Required, "Needed: without it the connections cannot be held"},
		{tuning.Advised, "Advised: it works without, and better with it"},
		{tuning.Leave, "Left alone: the default is right"},
	} {
		fmt.Fprintf(&b, "\n## %s\n\n", part.title)
		knobs(&b, t, part.need)
	}
	b.WriteString("\n## Popular and harmful\n\n`rookery tune check` warns where it finds one.\n\n")
	b.WriteString("| setting | harmful when | instead | why |\n|---|---|---|---|\n")
	for i := range t.Harmful {
		harm(&b, &t.Harmful[i])
	}
	b.WriteString("\nHabits that leave nothing to look at:\n\n")
	for _, p := range t.Practices {
		fmt.Fprintf(&b, "- **%s.** %s (%s)\n", p.What, p.Reason, links(p.Sources))
	}
	b.WriteString("\n## How it stays, and how it is undone\n\n| kind | so that it stays | undo |\n|---|---|---|\n")
	for _, kind := range []tuning.Kind{tuning.Sysctl, tuning.Sysfs, tuning.Limit, tuning.Env, tuning.Cgroup} {
		care, ok := t.Kinds[kind]
		if !ok {
			return "", errors.New("nothing said of kind " + string(kind))
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", kind, care.Persist, care.Undo)
	}
	b.WriteString(`
` + "`apply`" + ` saves old values in /var/lib/rookery/tune.json (` + "`--state FILE`" + `) before it changes anything. Applied again, it keeps the values
it saved first. A setting that somebody else has changed since is left by ` + "`revert`" + ` and named (` + "`--force`" + ` restores it). After a restart
the kernel has its own values again: ` + "`revert`" + ` says so, and ` + "`apply`" + ` begins anew.
`)
	return b.String(), nil
}

func knobs(b *strings.Builder, t *tuning.Table, need tuning.Need) {
	if need == tuning.Leave {
		b.WriteString("| setting | for | default | why |\n|---|---|---|---|\n")
	} else {
		b.WriteString("| setting | for | default | needed | ours | why | otherwise |\n|---|---|---|---|---|---|---|\n")
	}
	for i := range t.Knobs {
		k := &t.Knobs[i]
		if k.Need != need {
			continue
		}
		who := strings.ReplaceAll(profiles(k.Profiles), ",", ", ")
		why := fmt.Sprintf("%s (%s)", k.Reason, links(k.Sources))
		if need == tuning.Leave {
			fmt.Fprintf(b, "| `%s` | %s | %s | %s |\n", k.Name, who, k.Default, why)
			continue
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s | %s |\n", k.Name, who, k.Default, value(k, k.Least), value(k, k.Ours), why, k.Effect)
	}
}

// value shows what is wanted.
func value(k *tuning.Knob, fields []string) string {
	if k.Rule == tuning.Choice {
		return "`" + strings.Join(fields, "` or `") + "`"
	}
	text := "`" + strings.Join(fields, " ") + "`"
	switch {
	case k.Rule == tuning.AtLeast && !slices.Contains(fields, "-"):
		return "≥ " + text
	case k.Rule == tuning.AtMost:
		return "≤ " + text
	}
	return text
}

func harm(b *strings.Builder, h *tuning.Harm) {
	when := map[string]string{"exactly": "= ", "above": "> ", "below": "< "}[h.Is] + h.Value
	if h.Field > 1 {
		when = fmt.Sprintf("field %d %s", h.Field, when)
	}
	if h.Unless != "" {
		when += ", unless `" + h.Unless + "` is set"
	}
	if len(h.Profiles) > 0 {
		when += " (" + strings.ReplaceAll(profiles(h.Profiles), ",", ", ") + ")"
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s (%s) |\n", h.Name, when, h.Instead, h.Reason, links(h.Sources))
}

// links names each source by what it is.
func links(sources []string) string {
	list := make([]string, len(sources))
	for i, s := range sources {
		list[i] = fmt.Sprintf("[%s](%s)", label(s), s)
	}
	return strings.Join(list, ", ")
}

// label is the last part of an address that tells something.
func label(source string) string {
	u, err := url.Parse(source)
	if err != nil {
		return source
	}
	parts := strings.Split(strings.Trim(u.Path, "/"), "/")
	last := strings.TrimSuffix(parts[len(parts)-1], ".html")
	switch {
	case u.Host == "man7.org":
		name, section, _ := strings.Cut(last, ".")
		return name + "(" + section + ")"
	case u.Host == "docs.kernel.org":
		return "kernel: " + last
	case u.Host == "git.kernel.org":
		return "kernel commit " + last[:min(len(last), 12)]
	case u.Host == "github.com" && len(parts) == 4:
		return parts[1] + "#" + parts[3]
	case u.Host == "pkg.go.dev" || u.Host == "go.dev":
		if u.Fragment != "" {
			return "Go: " + last + "#" + u.Fragment
		}
		return "Go: " + last
	}
	return last
}

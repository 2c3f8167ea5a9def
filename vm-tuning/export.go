package tuning

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Export is the table's values in another program's form.
type Export struct {
	Format  string  `json:"format"`
	Profile Profile `json:"profile"`
	Conns   int64   `json:"conns"`
	Content string  `json:"content"`
	// Notes say what the form cannot express.
	Notes []string `json:"notes"`
}

// Format is a form of export.
type Format struct {
	Name   string
	Short  string
	render func(t *Table, r *Request, e *Export) error
}

// Formats are all forms, in the order to show them.
var Formats = []Format{
	{"sysctl", "a file for /etc/sysctl.d", (*Table).exportSysctl},
	{"systemd", "a drop-in with limits for a systemd unit", (*Table).exportSystemd},
	{"docker", "flags for docker run", (*Table).exportDocker},
	{"kubernetes", "a pod's securityContext, and what belongs to the nodes", (*Table).exportKubernetes},
}

// Export returns the values for r in the form of the given name.
func (t *Table) Export(format string, r Request) (*Export, error) {
	i := slices.IndexFunc(Formats, func(f Format) bool { return f.Name == format })
	if i < 0 {
		return nil, fmt.Errorf("no export is called %q", format)
	}
	r = r.normal()
	e := &Export{Format: format, Profile: r.Profile, Conns: r.Conns, Notes: []string{}}
	return e, Formats[i].render(t, &r, e)
}

// setting is a knob with the value for a request.
type setting struct {
	*Knob
	value string
}

// settings returns what is to be set for r on any machine: neither what is left
// alone nor what depends on the machine.
func (t *Table) settings(r *Request) ([]setting, error) {
	var list []setting
	for _, k := range t.For(r.Profile) {
		if k.Need == Leave || slices.Contains(k.Ours, anything) {
			continue
		}
		values, err := k.Rule.values(k.Ours, r.Vars())
		if errors.Is(err, ErrNotApplicable) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", k.Name, err)
		}
		if k.Rule == Choice {
			values = values[:1]
		}
		list = append(list, setting{k, strings.Join(values, " ")})
	}
	return list, nil
}

// exportSysctl writes each setting with its reason. Where the kernel derives a
// default from the machine, which may be higher, the line is a comment.
func (t *Table) exportSysctl(r *Request, e *Export) error {
	list, err := t.settings(r)
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Settings for %s (profile %s).\n", connections(r.Conns), r.Profile)
	fmt.Fprintf(&b, "# Made by: rookery tune export sysctl --profile %s --for %d\n", r.Profile, r.Conns)
	b.WriteString("# Use: copy to /etc/sysctl.d/90-rookery.conf, then sysctl --system\n")
	b.WriteString("# Undo: remove the file and restart the machine, or set what was there before.\n")
	derived := false
	for _, s := range list {
		if s.Kind != Sysctl {
			continue
		}
		fmt.Fprintf(&b, "\n%s", wrap(s.Reason, "# "))
		switch {
		case s.Derived:
			derived = true
			fmt.Fprintf(&b, "# Default: %s. Only where that is lower:\n# %s = %s\n", s.Default, s.Name, s.value)
		case s.Optional: // sysctl goes on where it is absent
			fmt.Fprintf(&b, "-%s = %s\n", s.Name, s.value)
		default:
			fmt.Fprintf(&b, "%s = %s\n", s.Name, s.value)
		}
	}
	e.Content = b.String()
	if derived {
		e.Notes = append(e.Notes, "Lines in comments have defaults that depend on the machine and are often higher: 'rookery tune check' says whether one is needed.")
	}
	e.Notes = append(e.Notes, "Limits of descriptors are none of sysctl's: see 'rookery tune export systemd' and 'docker'.")
	return nil
}

func (t *Table) exportSystemd(r *Request, e *Export) error {
	list, err := t.settings(r)
	if err != nil {
		return err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Limits for %s (profile %s).\n", connections(r.Conns), r.Profile)
	b.WriteString("# Use: copy to /etc/systemd/system/rookery.service.d/90-limits.conf, then\n#   systemctl daemon-reload && systemctl restart rookery\n")
	b.WriteString("[Service]\n")
	for _, s := range list {
		switch s.Kind {
		case Limit:
			fmt.Fprintf(&b, "%sLimitNOFILE=%s\n", wrap(s.Reason, "# "), s.value)
		case Cgroup:
			fmt.Fprintf(&b, "%s# If there is to be a limit, then no less than:\n#MemoryMax=%s\n", wrap(s.Reason, "# "), s.value)
		}
	}
	e.Content = b.String()
	e.Notes = append(e.Notes, "Sysctls are the machine's, not a unit's: see 'rookery tune export sysctl'.")
	return nil
}

func (t *Table) exportDocker(r *Request, e *Export) error {
	list, err := t.settings(r)
	if err != nil {
		return err
	}
	var flags, host []string
	for _, s := range list {
		switch {
		case s.Kind == Limit:
			flags = append(flags, "--ulimit nofile="+s.value+":"+s.value)
		case s.Kind == Sysctl && s.Scope == Netns && s.Derived:
			// A container begins with the derived default.
		case s.Kind == Sysctl && s.Scope == Netns:
			flags = append(flags, "--sysctl "+shellWord(s.Name+"="+s.value))
		case s.Kind == Sysctl && !s.Derived:
			host = append(host, s.Name)
		case s.Kind == Cgroup:
			e.Notes = append(e.Notes, "With --memory give at least "+s.value+" bytes.")
		}
	}
	e.Content = strings.Join(flags, " \\\n") + "\n"
	e.Notes = append(e.Notes,
		"Set on the host, because containers share them: "+strings.Join(host, ", ")+".",
		"With --network host the sysctls of the network are the host's too, and Docker refuses --sysctl for them.")
	return nil
}

func (t *Table) exportKubernetes(r *Request, e *Export) error {
	list, err := t.settings(r)
	if err != nil {
		return err
	}
	var safe, unsafe, names, nodes []string
	for _, s := range list {
		line := fmt.Sprintf("    - name: %s\n      value: %q\n", s.Name, s.value)
		switch {
		case s.Kind == Cgroup:
			e.Notes = append(e.Notes, fmt.Sprintf("With resources.limits.memory give at least %q.", s.value))
		case s.Kind != Sysctl || s.Derived:
		case s.Kubernetes == "safe":
			safe = append(safe, line)
		case s.Kubernetes == "unsafe":
			unsafe = append(unsafe, line)
			names = append(names, s.Name)
		default:
			nodes = append(nodes, s.Name+"="+s.value)
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "# Part of a pod's template, for %s (profile %s).\nspec:\n  securityContext:\n    sysctls:\n", connections(r.Conns), r.Profile)
	b.WriteString("    # Safe: any pod may set them, but not with hostNetwork.\n" + strings.Join(safe, ""))
	if len(unsafe) > 0 {
		b.WriteString("    # Unsafe by Kubernetes' list: a node runs the pod only when its kubelet has\n")
		fmt.Fprintf(&b, "    #   --allowed-unsafe-sysctls=%s\n", strings.Join(names, ","))
		b.WriteString("    # Leave them out where that is not to be had; a pod that asks in vain does not start.\n" + strings.Join(unsafe, ""))
	}
	b.WriteString("# Of the nodes, not of a pod; set them with the node's own configuration:\n")
	for _, n := range nodes {
		b.WriteString("#   " + n + "\n")
	}
	e.Content = b.String()
	e.Notes = append(e.Notes, "Kubernetes has no setting for descriptors: a pod has the limit of the container runtime on its node (LimitNOFILE in its unit). 'rookery serve' warns when it is low; --workers divides clients among processes.")
	return nil
}

// connections says how many.
func connections(n int64) string {
	if n == 0 {
		return "connections whose number nobody said"
	}
	return fmt.Sprintf("%d connections", n)
}

// shellWord quotes text where a shell would split it.
func shellWord(text string) string {
	if strings.Contains(text, " ") {
		return "'" + text + "'"
	}
	return text
}

// wrapColumn is where comments in files are broken.
const wrapColumn = 96

// wrap breaks text into lines that begin with prefix, the last one ended too.
func wrap(text, prefix string) string {
	var b strings.Builder
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && len(prefix)+len(line)+1+len(word) > wrapColumn {
			b.WriteString(prefix + line + "\n")
			line = ""
		}
		if line != "" {
			line += " "
		}
		line += word
	}
	return b.String() + prefix + line + "\n"
}

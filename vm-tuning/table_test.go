package tuning

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	table := Default()
	seen := map[string]bool{}
	for i := range table.Knobs {
		k := &table.Knobs[i]
		if seen[k.Name] {
			t.Errorf("%s stands twice", k.Name)
		}
		seen[k.Name] = true
		for _, p := range k.Profiles {
			if !slices.Contains(Profiles, p) {
				t.Errorf("%s: profile %q is unknown", k.Name, p)
			}
		}
		for _, list := range [][]string{k.Sources} {
			for _, url := range list {
				if !strings.HasPrefix(url, "https://") {
					t.Errorf("%s: source %q is no address", k.Name, url)
				}
			}
		}
		if k.Kubernetes != "" && (k.Scope != Netns || k.Kubernetes != "safe" && k.Kubernetes != "unsafe") {
			t.Errorf("%s: kubernetes %q in scope %s", k.Name, k.Kubernetes, k.Scope)
		}
		if k.Scope == Netns && k.Kubernetes == "" {
			t.Errorf("%s: nothing said for Kubernetes", k.Name)
		}
	}
	// What the tuning of such servers is about has rows.
	for _, name := range []string{
		"net.core.somaxconn", "net.ipv4.tcp_max_syn_backlog", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
		"net.ipv4.tcp_mem", "net.core.netdev_max_backlog", "fs.file-max", "fs.nr_open", "net.netfilter.nf_conntrack_max",
		"net.ipv4.tcp_tw_reuse", "net.ipv4.tcp_keepalive_time", "vm.max_map_count", "vm.swappiness", "net.ipv4.tcp_slow_start_after_idle",
		"net.ipv4.tcp_notsent_lowat", "RLIMIT_NOFILE", "transparent_hugepage", "GOGC", "GOMEMLIMIT", "GOMAXPROCS",
	} {
		if !seen[name] {
			t.Errorf("%s has no row", name)
		}
	}
	for i := range table.Harmful {
		if unless := table.Harmful[i].Unless; unless != "" && strings.Contains(unless, " ") {
			t.Errorf("unless %q is no name", unless)
		}
	}
	for _, p := range table.Practices {
		if p.What == "" || p.Reason == "" || len(p.Sources) == 0 {
			t.Errorf("practice %q has gaps", p.What)
		}
	}
}

// A table with a gap is refused with the name of the row.
func TestParseRefuses(t *testing.T) {
	const good = `{"name":"a.b","kind":"sysctl","profiles":["server"],"need":"required","scope":"host","rule":"atleast","ours":["1"],
		"default":"0","effect":"e","reason":"r","sources":["https://x"],"persist":"p","undo":"u"}`
	if _, err := Parse([]byte(`{"knobs":[` + good + `]}`)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"reason":"r"`, `"reason":""`, "a.b: has no reason"},
		{`"sources":["https://x"]`, `"sources":[]`, "has no sources"},
		{`"profiles":["server"]`, `"profiles":[]`, "has no profiles"},
		{`"persist":"p"`, `"persist":""`, "has no persist"},
		{`"effect":"e",`, ``, "has no effect"},
		{`"need":"required"`, `"need":"perhaps"`, `need "perhaps" is unknown`},
		{`"kind":"sysctl"`, `"kind":"registry"`, `kind "registry" is unknown`},
		{`"kind":"sysctl"`, `"kind":"sysfs"`, `path "" for kind sysfs`},
		{`"rule":"atleast"`, `"rule":"about"`, `rule "about" is unknown`},
		{`"rule":"atleast"`, `"rule":"covers"`, "a range has two fields"},
		{`"ours":["1"]`, `"ours":[]`, "0 and 0 fields"},
		{`"ours":["1"]`, `"ours":["1"],"least":["1","2"]`, "2 and 1 fields"},
		{`"ours":["1"]`, `"ours":["1 +"]`, "a number or a name wanted"},
		{`"default":"0"`, `"defalt":"0"`, "unknown field"},
	} {
		_, err := Parse([]byte(`{"knobs":[` + strings.Replace(good, c.old, c.new, 1) + `]}`))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.new, err, c.want)
		}
	}
	const harm = `{"name":"a.b","kind":"sysctl","field":1,"is":"above","value":"1","instead":"0","reason":"r","sources":["https://x"]}`
	for _, c := range []struct{ old, new, want string }{
		{`"field":1`, `"field":0`, "needs a field"},
		{`"instead":"0"`, `"instead":""`, "what to set instead"},
		{`"is":"above"`, `"is":"near"`, `is "near"`},
		{`"value":"1"`, `"value":"(1"`, "wanted"},
		{`"kind":"sysctl"`, `"kind":"x"`, "unknown"},
	} {
		_, err := Parse([]byte(`{"harmful":[` + strings.Replace(harm, c.old, c.new, 1) + `]}`))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.new, err, c.want)
		}
	}
}

// The file stays one that people can edit: no row is silently ignored.
func TestTableIsWholeJSON(t *testing.T) {
	var raw struct{ Knobs, Harmful, Practices []json.RawMessage }
	if err := json.Unmarshal(knobsJSON, &raw); err != nil {
		t.Fatal(err)
	}
	d := Default()
	if len(raw.Knobs) != len(d.Knobs) || len(raw.Harmful) != len(d.Harmful) || len(raw.Practices) != len(d.Practices) {
		t.Error("rows are missing")
	}
}

package wire

import (
	"math"
	"strings"
	"testing"
)

func TestParseMetrics(t *testing.T) {
	all, err := ParseMetrics("# HELP a b\n\n  a 1\na{x=\"1\"} 2.5e3 1700000000\nb{x=\"}\\\"\\\\\\n\\z\" , y = \"\",} +Inf\nc -1\r\n")
	if err != nil {
		t.Fatal(err)
	}
	if all.Total("a") != 2501 || all.Total("c") != -1 || all.Total("d") != 0 || len(all) != 3 {
		t.Errorf("%v", all)
	}
	if s := &all["a"][1]; !s.Has("x", "1") || s.Has("x", "2") || !s.Has() {
		t.Errorf("labels %v", s.Labels)
	}
	if b := all["b"][0]; b.Labels["x"] != "}\"\\\n\\z" || !math.IsInf(b.Value, 1) || !b.Has("y", "") {
		t.Errorf("%v", b)
	}
	for _, bad := range []string{"a", "a ", "{x=\"1\"} 1", "a{x=\"1\" 1", "a{x=\"1} 1", "a{x=1} 1", "a{x} 1", "a one", "a 1 2 3", "a{x=\"\\", "a{"} {
		if _, err := ParseMetrics("ok 1\n" + bad + "\n"); err == nil || !strings.Contains(err.Error(), "line 2") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParseMetrics(f *testing.F) {
	f.Add("a{x=\"1\"} 2.5e3 1700000000\n# c\n")
	f.Add("a{x=\"\\\"\\\\\\n\",y=\"\"} NaN")
	f.Fuzz(func(t *testing.T, page string) {
		all, err := ParseMetrics(page)
		if err != nil {
			return
		}
		for name := range all {
			if name == "" || strings.ContainsAny(name, "{ \t\n") {
				t.Errorf("name %q", name)
			}
		}
	})
}

package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// read returns files of ours as one text.
func read(t *testing.T, patterns ...string) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join(root(t), pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("no file %s (%v)", pattern, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(text)
		}
	}
	return all.String()
}

// Metrics that alerts and pages name are on /metrics. A rule on a metric that
// nobody writes is silent forever.
func TestNamedMetricsExist(t *testing.T) {
	written := read(t, "server/*.go", "internal/fleet/*.go")
	named := regexp.MustCompile(`\b((?:rookery|go|process)_[a-z_]+[a-z])\b`)
	found := 0
	for _, m := range named.FindAllStringSubmatch(read(t, "deploy/alerts.yaml", "docs/operations.md", "docs/cluster.md", "cmd/rookery/top_figures.go", "cmd/rookery/top_watch.go"), -1) {
		name := m[1]
		if !strings.Contains(written, `"`+name+`"`) {
			name = regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		}
		if !strings.Contains(written, `"`+name+`"`) {
			t.Errorf("%s is named and on no page of metrics", m[1])
		}
		found++
	}
	if found < 50 {
		t.Errorf("only %d metrics found: this test looks in the wrong place", found)
	}
}

// Variables that containers and units set are settings; a misspelt one would
// keep every node from starting.
func TestNamedSettingsExist(t *testing.T) {
	flags := read(t, "cmd/rookery/config.go")
	found := 0
	for _, m := range regexp.MustCompile(`\bROOKERY_([A-Z_]+)`).FindAllStringSubmatch(read(t, "Dockerfile", "deploy/*", "docs/operations.md", "scripts/*.sh"), -1) {
		if !strings.Contains(flags, `add("`+strings.ToLower(strings.ReplaceAll(m[1], "_", "-"))+`"`) {
			t.Errorf("ROOKERY_%s is no setting", m[1])
		}
		found++
	}
	if found < 15 {
		t.Errorf("only %d settings found: this test looks in the wrong place", found)
	}
}

// Each alert has its row in the page for those whom it wakes, and no row is left
// over.
func TestAlertsAreExplained(t *testing.T) {
	alerts := regexp.MustCompile(`(?m)^\s+- alert: Rookery(\w+)$`).FindAllStringSubmatch(read(t, "deploy/alerts.yaml"), -1)
	_, page, ok := strings.Cut(read(t, "docs/operations.md"), "\n## Be woken\n")
	if !ok || len(alerts) == 0 {
		t.Fatal("no alerts, or no page for them")
	}
	page, _, _ = strings.Cut(page, "\n## ")
	rows := regexp.MustCompile(`(?m)^\| ([A-Z]\w+) \|`).FindAllStringSubmatch(page, -1)
	for _, a := range alerts {
		if !strings.Contains(page, "\n| "+a[1]+" |") {
			t.Errorf("alert Rookery%s is not in docs/operations.md", a[1])
		}
	}
	if len(rows) != len(alerts) {
		t.Errorf("%d rows for %d alerts", len(rows), len(alerts))
	}
}

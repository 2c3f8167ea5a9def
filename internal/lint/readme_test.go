package lint

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func readme(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A library that is used is named with its reason, and no other is.
func TestReadmeNamesDependencies(t *testing.T) {
	_, section, ok := strings.Cut(readme(t), "\n## Dependencies\n")
	if !ok {
		t.Fatal("the README has no section Dependencies")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var named []string
	for _, m := range regexp.MustCompile("`([a-zA-Z0-9.-]+\\.[a-z]+/[^`]+)`").FindAllStringSubmatch(section, -1) {
		named = append(named, m[1])
	}
	used := map[string]bool{}
	for goos := range listed {
		for _, p := range packages(t, goos) {
			for _, path := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
				if library(path) == "" {
					continue
				}
				i := slices.IndexFunc(named, func(n string) bool { return path == n || strings.HasPrefix(path, n+"/") })
				if i < 0 {
					t.Errorf("%s imports %s, which the README does not name", p.short(), path)
					continue
				}
				used[named[i]] = true
			}
		}
	}
	for _, n := range named {
		if !used[n] {
			t.Errorf("the README names %s, which nothing imports", n)
		}
	}
}

// What the README shows to embedders builds.
func TestReadmeProgramBuilds(t *testing.T) {
	_, program, ok := strings.Cut(readme(t), "```go\n")
	if !ok {
		t.Fatal("the README shows no program")
	}
	program, _, _ = strings.Cut(program, "```")
	file := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(file, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "vet", file)
	cmd.Dir = root(t)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("go vet: %v\n%s", err, out)
	}
	if out, err := exec.Command("gofmt", "-s", "-l", file).CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("gofmt: %v %s", err, out)
	}
}

// Every target that documents and scripts name exists.
func TestMakeTargetsExist(t *testing.T) {
	top := root(t)
	makefile, err := os.ReadFile(filepath.Join(top, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "docs/REQUIREMENTS.md", "docs/ARCHITECTURE.md", "docs/cluster.md", "docs/operations.md", ".ci/run", ".github/workflows/ci.yml"} {
		text, err := os.ReadFile(filepath.Join(top, name))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range regexp.MustCompile("(?m)(?:`|run: |^)make ([a-z][a-z0-9-]*)").FindAllSubmatch(text, -1) {
			if !regexp.MustCompile(`(?m)^` + string(m[1]) + `:`).Match(makefile) {
				t.Errorf("%s names make %s, which does not exist", name, m[1])
			}
		}
	}
}

// Tests and benchmarks that documents cite exist: a name, or what stands behind
// -run or -bench in a command.
func TestCitedTestsExist(t *testing.T) {
	var code []byte
	for _, s := range sources(t) {
		if s.isTest() {
			code = append(code, s.text...)
		}
	}
	top := root(t)
	cited := regexp.MustCompile("`((?:Test|Benchmark|Fuzz|Example)[A-Z]\\w*)|go test [^`]*-(run|bench) '?(\\w+)")
	for _, name := range []string{"README.md", "docs/REQUIREMENTS.md", "docs/ARCHITECTURE.md"} {
		text, err := os.ReadFile(filepath.Join(top, name))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range cited.FindAllStringSubmatch(string(text), -1) {
			pattern := `func ` + m[1]
			if m[1] == "" {
				pattern = map[string]string{"run": `func (Test|Example)\w*`, "bench": `func Benchmark\w*`}[m[2]] + m[3]
			}
			if !regexp.MustCompile(`(?m)^` + pattern).Match(code) {
				t.Errorf("%s cites %s, which does not exist", name, m[0])
			}
		}
	}
}

// Links between our own files lead somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	top := root(t)
	for _, name := range []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/REQUIREMENTS.md", "docs/ARCHITECTURE.md", "docs/cluster.md", "docs/operations.md", "docs/load.md"} {
		text, err := os.ReadFile(filepath.Join(top, name))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#]+)(#[^)]*)?\)`).FindAllStringSubmatch(string(text), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(top, filepath.Dir(name), m[1])); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			}
		}
	}
}

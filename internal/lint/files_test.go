package lint

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Limits of size. A file that needs a second noun needs a second file.
const (
	fileLinesMax     = 500
	functionLinesMax = 60
)

// longFiles and longFunctions are the exceptions, each with its reason.
var (
	longFiles     = map[string]string{}
	longFunctions = map[string]string{}
)

// source is one file of ours as it stands in the working tree.
type source struct {
	path string // from the module root, with slashes
	text []byte
}

func (s *source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// sources returns every Go file, those of nested modules and of other systems
// included.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	top := root(t)
	err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch d.Name() {
			case ".git", ".cache", "node_modules", "bin", "results", "testdata":
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(path) != ".go" {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(top, path)
		all = append(all, source{filepath.ToSlash(rel), text})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("no Go file found")
	}
	return all
}

func TestFilesAreShort(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		lines := bytes.Count(s.text, []byte("\n"))
		if _, ok := longFiles[s.path]; ok {
			seen[s.path] = lines > fileLinesMax
		} else if lines > fileLinesMax {
			t.Errorf("%s has %d lines, more than %d: which noun wants its own file?", s.path, lines, fileLinesMax)
		}
	}
	for path, reason := range longFiles {
		if !seen[path] {
			t.Errorf("the exception for %s (%s) is not needed any more", path, reason)
		}
	}
}

func TestFunctionsAreShort(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, s.path, s.text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := fset.Position(f.End()).Line - fset.Position(f.Pos()).Line + 1
			name := s.path + ":" + f.Name.Name
			if _, ok := longFunctions[name]; ok {
				seen[name] = lines > functionLinesMax
			} else if lines > functionLinesMax {
				t.Errorf("%s has %d lines, more than %d", name, lines, functionLinesMax)
			}
		}
	}
	for name, reason := range longFunctions {
		if !seen[name] {
			t.Errorf("the exception for %s (%s) is not needed any more", name, reason)
		}
	}
}

func TestPackagesSayWhatTheyAre(t *testing.T) {
	for _, p := range packages(t, "linux") {
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = "" // a command's doc starts with its name
		}
		switch {
		case len(p.GoFiles) == 0:
			t.Errorf("%s has tests but no package doc: give it a doc.go", p.short())
		case p.Doc == "":
			t.Errorf("%s has no package doc", p.short())
		case !strings.HasPrefix(p.Doc, want):
			t.Errorf("the doc of %s starts %q, not %q", p.short(), p.Doc[:min(20, len(p.Doc))], want)
		}
	}
}

// leftovers must not stand in the tree. The words are split so that this file
// does not find itself.
var leftovers = []struct {
	pattern string
	reason  string
}{
	{`\bTO` + `DO\b|\bFIX` + `ME\b|\bX` + `XX\b|\bHA` + `CK\b`, "finish it or open an issue"},
	{`//\s*no` + `lint`, "change the code or the linter's settings, with a reason there"},
	{`not imple` + `mented`, "nothing is committed half built"},
	{`panic\("un` + `implemented`, "nothing is committed half built"},
	{`time\.Sleep\(.*\) // wa` + `it`, "a sleep is no synchronisation"},
}

func TestNoLeftovers(t *testing.T) {
	for _, rule := range leftovers {
		re := regexp.MustCompile(rule.pattern)
		for _, s := range sources(t) {
			if loc := re.FindIndex(s.text); loc != nil {
				line := 1 + bytes.Count(s.text[:loc[0]], []byte("\n"))
				t.Errorf("%s:%d: %q: %s", s.path, line, s.text[loc[0]:loc[1]], rule.reason)
			}
		}
	}
}

// Functions of sync/atomic on plain words allow an unguarded access beside
// them; the types do not.
func TestAtomicsAreTyped(t *testing.T) {
	re := regexp.MustCompile(`\batomic\.(Add|And|CompareAndSwap|Load|Or|Store|Swap)[A-Z]`)
	for _, s := range sources(t) {
		if loc := re.FindIndex(s.text); loc != nil {
			line := 1 + bytes.Count(s.text[:loc[0]], []byte("\n"))
			t.Errorf("%s:%d: %s: use the types of sync/atomic", s.path, line, s.text[loc[0]:loc[1]])
		}
	}
}

// The library neither ends the process nor handles signals: that is the
// business of whoever embeds it.
func TestLibraryLeavesTheProcessAlone(t *testing.T) {
	re := regexp.MustCompile(`\bos\.Exit\(|\bsignal\.Notify|\blog\.Fatal`)
	for _, s := range sources(t) {
		dir, _, _ := strings.Cut(s.path, "/")
		switch dir {
		case "cmd", "bench", "examples", "e2e", "scripts":
			continue // programs
		}
		if s.isTest() {
			continue // TestMain, and processes that tests start
		}
		if loc := re.FindIndex(s.text); loc != nil {
			line := 1 + bytes.Count(s.text[:loc[0]], []byte("\n"))
			t.Errorf("%s:%d: %s in a library", s.path, line, s.text[loc[0]:loc[1]])
		}
	}
}

// A replaced module is invisible to those who import ours.
func TestModuleReplacesNothing(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	if regexp.MustCompile(`(?m)^\s*(replace|exclude)\b`).Match(text) {
		t.Error("go.mod has a replace or exclude")
	}
	if !bytes.HasPrefix(text, []byte("module "+module+"\n")) {
		t.Errorf("go.mod does not name module %s", module)
	}
}

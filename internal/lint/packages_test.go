package lint

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/rookery-server/rookery"

// goPackage is what the rules need of `go list -json`.
type goPackage struct {
	ImportPath   string
	Dir          string
	Name         string
	Doc          string
	GoFiles      []string
	TestGoFiles  []string
	XTestGoFiles []string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Standard     bool
}

// short returns the package's path inside the module, "." for its root.
func (p *goPackage) short() string {
	if p.ImportPath == module {
		return "."
	}
	return strings.TrimPrefix(p.ImportPath, module+"/")
}

// root returns the folder that holds go.mod.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatalf("the module root is not two levels up: %v", err)
	}
	return dir
}

// packages lists all packages of the module as they build on goos. Files of
// other systems are invisible to one listing, so rules about imports look at
// two systems.
func packages(t *testing.T, goos string) []goPackage {
	t.Helper()
	list := listed[goos]
	if list == nil {
		t.Fatalf("no listing for %s", goos)
	}
	pkgs, err := list()
	if err != nil {
		t.Fatal(err)
	}
	return pkgs
}

var listed = map[string]func() ([]goPackage, error){
	"linux":  sync.OnceValues(func() ([]goPackage, error) { return goList("linux") }),
	"darwin": sync.OnceValues(func() ([]goPackage, error) { return goList("darwin") }),
}

func goList(goos string) ([]goPackage, error) {
	cmd := exec.Command("go", "list", "-json", "./...")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, errors.Join(err, errors.New(stderr.String()))
	}
	var pkgs []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs, nil
		} else if err != nil {
			return nil, err
		}
		pkgs = append(pkgs, p)
	}
}

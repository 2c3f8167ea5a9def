package gen

import (
	"flag"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	tuning "github.com/rookery-server/rookery/vm-tuning"
)

var update = flag.Bool("update", false, "write the generated files")

const moduleRoot = "../.."

// What is committed is what the table says.
func TestGenerated(t *testing.T) {
	files, err := Files(tuning.Default())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(moduleRoot, filepath.FromSlash(name))
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, ".sh") {
			mode = 0o755
		}
		if *update {
			if err := os.WriteFile(path, []byte(files[name]), mode); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Errorf("%v: run 'go generate ./vm-tuning'", err)
			continue
		}
		if string(got) != files[name] {
			t.Errorf("%s is not what knobs.json says: run 'go generate ./vm-tuning' and commit it", name)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm()&0o111 != mode&0o111 {
			t.Errorf("%s: mode %v, want %v", name, info.Mode(), mode)
		}
	}
}

// shellcheck finds nothing. In CI it must be there, on Linux.
func TestShellcheck(t *testing.T) {
	tool, err := exec.LookPath("shellcheck")
	if err != nil {
		if os.Getenv("CI") != "" && runtime.GOOS == "linux" {
			t.Fatal("shellcheck is missing: install Debian's package shellcheck")
		}
		t.Skip("shellcheck is not installed (Debian: apt-get install shellcheck): the scripts are not looked at")
	}
	args := []string{"--shell=sh"}
	for _, name := range []string{"check.sh", "apply.sh", "revert.sh"} {
		args = append(args, filepath.Join("..", name))
	}
	if out, err := exec.Command(tool, args...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

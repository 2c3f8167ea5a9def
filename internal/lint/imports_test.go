package lint

import (
	"slices"
	"strings"
	"testing"
)

// edges is the picture of the house: what each package may import of ours.
// Arrows point down only; siblings never meet. A package without a row is an
// error, so that a new room is drawn before it is built.
//
//	      cmd/rookery                         bench (never imports server)
//	        |                                   |
//	      server -----------------------.     memprof
//	 .------+-----+--------+--------.    \
//	session   cluster     mcp      loop   internal/rpc
//	  |          |         |         |       |
//	shard      batch     codec   internal/ring
var edges = map[string][]string{
	"codec":         nil,
	"shard":         nil,
	"internal/ring": nil,
	"memprof":       nil,
	"vm-tuning":     nil,
	"vm-tuning/gen": {"vm-tuning"}, // what is made from the table; only its test runs it
	"loop":          {"internal/ring", "internal/uring"},
	// A door to the kernel for those who send on many sockets.
	"internal/uring": nil,
	"batch":          {"codec", "internal/ring"},
	"session":        {"codec", "shard", "internal/ring"},
	"cluster":        {"batch", "codec", "internal/early", "shard"},
	// Which sockets of a killed process end first: those of links, and of a
	// worker's to its supervisor.
	"internal/early": nil,
	// Calls in flight and questions asked are one table for TCP and HTTP, so
	// it stands below mcp and server both.
	"internal/rpc": {"codec"},
	"mcp":          {"codec", "internal/rpc"},
	"server": {"batch", "cluster", "codec", "internal/ring", "internal/rpc", "loop", "mcp",
		"memprof", "session", "shard", "vm-tuning"},
	"mcp/gosdk": {"codec", "mcp", "server"},
	// An observer from outside with its own parsing: it must not share the
	// server's mistakes, nor its heap.
	"bench": {"memprof", "bench/wire"},
	// What observers share to read a server's answers.
	"bench/wire": nil,
	"bench/load": {"bench", "bench/wire", "internal/uring", "memprof"},
	// The suite drives nodes, clients and reports.
	"bench/suite": {"bench", "bench/load", "bench/report", "bench/wire", "memprof"},
	// Processes of one node: the supervisor's account of memory is theirs added
	// up, in the same form. It knows neither loop nor server; both are given to
	// it, or it to them, by the command.
	"internal/fleet": {"internal/early", "memprof"},
	// The commands of a cluster read what nodes report and make keys.
	"cmd/rookery":   {"internal/fleet", "server", "cluster", "shard", "bench", "bench/load", "bench/report", "bench/suite", "bench/wire", "memprof", "vm-tuning", "examples/demo"},
	"internal/lint": nil,
	// What a released binary is made of: it reads the file and nothing of ours.
	"scripts/sbom": nil,
	// A network that fails on demand: for tests only.
	"internal/faultnet": nil,
	"e2e":               nil, // talks to the binary
}

// treeEdges are rows for whole folders: examples are what an embedder writes,
// so they see the public packages only.
var treeEdges = map[string][]string{
	"examples/": {"server", "mcp", "mcp/gosdk", "codec"},
	"bench/":    {"bench", "memprof"},
}

// testEdges are what tests may import beyond the row of their package.
var testEdges = map[string][]string{
	// The loop's own tests run a real codec over it.
	"loop": {"codec"},
	// The same messages as in the comparison with other links.
	"batch": {"bench/corpus"},
	// Links that are cut, held back and damaged.
	"cluster": {"internal/faultnet", "bench/corpus"},
	"server":  {"internal/faultnet"},
	"e2e":     {"internal/faultnet"},
}

func allowed(pkg string) (list []string, ok bool) {
	if list, ok = edges[pkg]; ok {
		return list, true
	}
	for prefix, list := range treeEdges {
		if strings.HasPrefix(pkg, prefix) {
			return list, true
		}
	}
	return nil, false
}

// ours returns the packages of this module among imports, without self.
func ours(imports []string, self string) []string {
	var list []string
	for _, path := range imports {
		p, ok := strings.CutPrefix(path, module+"/")
		if ok && p != self && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	return list
}

func TestWhoImportsWhom(t *testing.T) {
	for goos := range listed {
		for _, p := range packages(t, goos) {
			self := p.short()
			row, ok := allowed(self)
			if !ok {
				t.Errorf("%s has no row in the table of imports", self)
				continue
			}
			for _, dep := range ours(p.Imports, self) {
				if !slices.Contains(row, dep) {
					t.Errorf("%s (%s) imports %s; it may import %v", self, goos, dep, row)
				}
			}
			row = slices.Concat(row, testEdges[self])
			for _, dep := range ours(slices.Concat(p.TestImports, p.XTestImports), self) {
				if !slices.Contains(row, dep) {
					t.Errorf("a test of %s (%s) imports %s; it may import %v", self, goos, dep, row)
				}
			}
		}
	}
}

// The table itself must have no cycle, else it draws nothing.
func TestTableOfImportsHasNoCycle(t *testing.T) {
	const visiting, done = 1, 2
	state := map[string]int{}
	var visit func(pkg string, path []string)
	visit = func(pkg string, path []string) {
		if state[pkg] == visiting {
			t.Fatalf("cycle: %s", strings.Join(append(path, pkg), " → "))
		}
		if state[pkg] == done {
			return
		}
		state[pkg] = visiting
		row, _ := allowed(pkg)
		for _, dep := range row {
			visit(dep, append(path, pkg))
		}
		state[pkg] = done
	}
	for pkg := range edges {
		visit(pkg, nil)
	}
}

// doors says which of our packages may import a library, so that each library
// can be replaced behind one door, and why we carry it at all. The README's
// table of dependencies has the same rows (TestReadmeNamesDependencies).
var doors = map[string][]string{
	"github.com/HdrHistogram/hdrhistogram-go": {"bench", "bench/load", "bench/suite"},
	"github.com/VictoriaMetrics/metrics":      {"server"},
	"github.com/bytedance/sonic":              {"codec"},
	"github.com/cloudwego/netpoll":            {"loop"},
	"github.com/google/jsonschema-go":         {"mcp"},
	"github.com/modelcontextprotocol/go-sdk":  {"mcp/gosdk", "examples/gosdk", "examples/gosdk/conformance"},
	"github.com/klauspost/compress":           {"batch"},
	"github.com/hashicorp/memberlist":         {"cluster"},
	"github.com/knadh/koanf":                  {"cmd/rookery"},
	"github.com/panjf2000/ants":               {"server"},
	"github.com/spf13/cobra":                  {"cmd/rookery", "bench"},
	"github.com/spf13/pflag":                  {"cmd/rookery", "bench"},
	"github.com/prometheus/procfs":            {"memprof"},
	"golang.org/x/sys":                        {"loop", "internal/uring", "memprof", "bench", "bench/load", "cmd/rookery", "server", "shard", "session", "internal/fleet", "internal/early", "cluster", "e2e"},
	"golang.org/x/sync":                       {"server", "bench"},
}

// testDoors are libraries that only tests may import.
var testDoors = map[string]string{
	"github.com/modelcontextprotocol/go-sdk": "the official client, end to end",
	"github.com/prometheus/common":           "a real Prometheus text parser",
	"github.com/puzpuzpuz/xsync":             "what shard is compared with",
	"github.com/rogpeppe/go-internal":        "testscript",
	"go.uber.org/goleak":                     "no goroutine left",
	"pgregory.net/rapid":                     "property tests",
	// The sdk's adapter and the tests of tools speak its schema types.
	"github.com/google/jsonschema-go": "schemas in tests",
}

func TestLibrariesHaveOneDoor(t *testing.T) {
	for goos := range listed {
		for _, p := range packages(t, goos) {
			for _, path := range p.Imports {
				if lib := library(path); lib != "" && !slices.Contains(libraryDoors(lib), p.short()) {
					t.Errorf("%s (%s) imports %s; only %v may", p.short(), goos, path, libraryDoors(lib))
				}
			}
			for _, path := range slices.Concat(p.TestImports, p.XTestImports) {
				lib := library(path)
				if lib == "" || slices.Contains(libraryDoors(lib), p.short()) || libraryTests(lib) {
					continue
				}
				t.Errorf("a test of %s (%s) imports %s, which has no row", p.short(), goos, path)
			}
		}
	}
}

// library returns path when it belongs to a third party, else "".
func library(path string) string {
	first, _, _ := strings.Cut(path, "/")
	if !strings.Contains(first, ".") || path == module || strings.HasPrefix(path, module+"/") {
		return ""
	}
	return path
}

func libraryDoors(path string) []string {
	for lib, list := range doors {
		if path == lib || strings.HasPrefix(path, lib+"/") {
			return list
		}
	}
	return nil
}

func libraryTests(path string) bool {
	for lib := range testDoors {
		if path == lib || strings.HasPrefix(path, lib+"/") {
			return true
		}
	}
	return false
}

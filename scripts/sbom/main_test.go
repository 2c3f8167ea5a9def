package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"
)

// A binary's bill is of that file: this test's own.
func TestBillOfThisBinary(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	for _, w := range []*bytes.Buffer{&first, &second} {
		if err := run(w, self, "v1.2.3", time.Unix(1700000000, 0)); err != nil {
			t.Fatal(err)
		}
	}
	if first.String() != second.String() {
		t.Error("two bills of one file differ")
	}
	var b bill
	if err := json.Unmarshal(first.Bytes(), &b); err != nil {
		t.Fatal(err)
	}
	c := b.Metadata.Component
	if b.Format != "CycloneDX" || c.Version != "v1.2.3" || len(c.Hashes) != 1 || !b.Metadata.Time.Equal(time.Unix(1700000000, 0)) {
		t.Errorf("%+v", b)
	}
	if len(b.Components) == 0 || b.Components[0].Name != "std" || !strings.HasPrefix(b.Components[0].PURL, "pkg:golang/std@1.") {
		t.Errorf("the standard library is missing: %+v", b.Components)
	}
}

func TestBillOfModules(t *testing.T) {
	info := &debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Path: "example.com/x"}, Deps: []*debug.Module{
		{Path: "example.com/a", Version: "v1.0.0+incompatible", Sum: "h1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="},
		{Path: "example.com/b", Version: "v1.0.0", Replace: &debug.Module{Path: "example.com/c", Version: "v2.0.0"}},
	}, Settings: []debug.BuildSetting{{Key: "GOARCH", Value: "arm64"}, {Key: "-ldflags", Value: "secret"}}}
	b := billOf(info, "v1")
	if len(b.Components) != 3 || b.Components[0].Version != "1.26.8" {
		t.Fatalf("%+v", b.Components)
	}
	if a := b.Components[1]; a.PURL != "pkg:golang/example.com/a@v1.0.0%2Bincompatible" || a.Hashes[0].Content[:8] != "00010203" {
		t.Errorf("%+v", a)
	}
	if c := b.Components[2]; c.Name != "example.com/c" || c.Hashes != nil {
		t.Errorf("%+v", c)
	}
	if p := b.Metadata.Component.Properties; len(p) != 1 || p[0].Value != "arm64" {
		t.Errorf("%+v", p)
	}
}

func TestBillOfSomethingElse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, file + ".missing"} {
		if err := run(&bytes.Buffer{}, path, "", time.Time{}); err == nil {
			t.Errorf("%s has a bill", path)
		}
	}
}

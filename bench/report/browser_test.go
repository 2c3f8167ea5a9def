package report

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// browser returns a Chromium, or skips the test; on CI it must be there.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("Chromium is missing")
	}
	t.Skip("Chromium is missing: nobody has looked at the page")
	return ""
}

// TestPageDraws opens the page in a browser: all plots are drawn without an
// error, on light and on dark ground, and no request leaves the file. KEEP=dir
// keeps the page and its pictures.
func TestPageDraws(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a browser takes its time")
	}
	chromium := browser(t)
	dir := t.TempDir()
	if keep := os.Getenv("KEEP"); keep != "" {
		dir = keep
	}
	var text bytes.Buffer
	if err := sample().WriteHTML(&text); err != nil {
		t.Fatal(err)
	}
	if s := text.String(); strings.Contains(s, "a <note>") || !strings.Contains(s, "a &lt;note&gt;") {
		t.Error("a text stands in the page as it is")
	}
	if s := text.String(); strings.Index(s, `<a href="#resources.memory">`) > strings.Index(s, `<a href="#performance.p99">`) || !strings.Contains(s, "floor ≤ 4,096") {
		t.Error("what failed does not stand first")
	}
	file := filepath.Join(dir, "report.html")
	if err := os.WriteFile(file, text.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, scheme := range []string{"light", "dark"} {
		picture := filepath.Join(dir, scheme+".png")
		args := []string{
			"--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars", "--user-data-dir=" + filepath.Join(t.TempDir(), scheme),
			"--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--virtual-time-budget=5000", "--window-size=1280,2200",
		}
		if scheme == "dark" {
			args = append(args, "--force-dark-mode", "--blink-settings=preferredColorScheme=0")
		}
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		run := func(more ...string) (string, string) {
			var out, said bytes.Buffer
			cmd := exec.CommandContext(ctx, chromium, append(append(args[:len(args):len(args)], more...), "file://"+file)...)
			cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &said, 10*time.Second
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v: %s", err, said.String())
			}
			return out.String(), said.String()
		}
		dom, said := run("--dump-dom")
		if !strings.Contains(dom, `data-plots="4"`) || strings.Count(dom, "<canvas") != 4 {
			t.Errorf("%s: the plots are not drawn: %s", scheme, said)
		}
		widths := regexp.MustCompile(`<canvas width="(\d+)"`).FindAllStringSubmatch(dom, -1)
		for _, w := range widths {
			if w[1] != widths[0][1] {
				t.Errorf("%s: plots of different widths: %v", scheme, widths)
				break
			}
		}
		if strings.Contains(said, "CONSOLE") {
			t.Errorf("%s: the page complains: %s", scheme, said)
		}
		run("--screenshot=" + picture)
		if info, err := os.Stat(picture); err != nil || info.Size() < 20_000 {
			t.Errorf("%s: no picture: %v", scheme, err)
		}
	}
}

package main

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"pgregory.net/rapid"
)

func TestSizes(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "1": 1, "65536": 65536, "64KiB": 64 << 10, "16MiB": 16 << 20, "2GiB": 2 << 30, "1 KiB": 1 << 10,
	} {
		if got, err := parseSize(in); err != nil || got != want {
			t.Errorf("parseSize(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "-1", "KiB", "1MB", "1kib", "1.5MiB", "9223372036854775808", "9007199254740992KiB", "9999999999GiB"} {
		if got, err := parseSize(in); err == nil {
			t.Errorf("parseSize(%q) = %d, want an error", in, got)
		}
	}
}

// What a setting prints it also reads, to the same value.
func TestSizeRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Min(0).Draw(t, "bytes")
		if got, err := parseSize(formatSize(n)); err != nil || got != n {
			t.Fatalf("parseSize(formatSize(%d)) = %d, %v", n, got, err)
		}
	})
}

func TestAddresses(t *testing.T) {
	for _, s := range []string{"", ":0", "127.0.0.1:7600", "[::1]:7600", "localhost:1", "unix:/run/rookery.sock"} {
		if _, err := parseAddress(s); err != nil {
			t.Errorf("parseAddress(%q): %v", s, err)
		}
	}
	for _, s := range []string{"7600", "127.0.0.1", "::1:7600", "host:http", "host:-1", "host:65536", "unix:"} {
		if _, err := parseAddress(s); err == nil {
			t.Errorf("parseAddress(%q) took it", s)
		}
	}
}

func TestOrigins(t *testing.T) {
	for _, s := range []string{"https://a.example", "http://localhost:3000", "app://x"} {
		if err := checkOrigin(s); err != nil {
			t.Errorf("checkOrigin(%q): %v", s, err)
		}
	}
	for _, s := range []string{"a.example", "https://a.example/", "https://u@a.example", "https://a.example?x", "https://", "://"} {
		if checkOrigin(s) == nil {
			t.Errorf("checkOrigin(%q) took it", s)
		}
	}
}

func TestNames(t *testing.T) {
	for s, good := range map[string]bool{"n1": true, "a-b_c.9": true, "": false, "a b": false, "ä": false, strings.Repeat("x", 65): false} {
		if err := checkName(s); (err == nil) != good {
			t.Errorf("checkName(%q) = %v", s, err)
		}
	}
}

// Every setting has help, a default that it accepts, and a name that makes a
// variable.
func TestSettingsAreWhole(t *testing.T) {
	var c config
	fs := pflag.NewFlagSet("", pflag.ContinueOnError)
	c.register(fs)
	fs.VisitAll(func(f *pflag.Flag) {
		if f.Usage == "" || strings.ToLower(f.Name) != f.Name {
			t.Errorf("--%s: no help, or not in lower case", f.Name)
		}
		if err := f.Value.Set(f.DefValue); err != nil || f.Value.String() != f.DefValue {
			t.Errorf("--%s does not read its own default %q: %v", f.Name, f.DefValue, err)
		}
		if variable := "ROOKERY_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")); kubernetesLink.MatchString(variable) {
			t.Errorf("%s looks like a variable of Kubernetes", variable)
		}
	})
	if err := c.check(func(string) bool { return false }); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}

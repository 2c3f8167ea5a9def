package cluster

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// names is a resolver of a fixed table.
type names map[string][]string

func (n names) LookupHost(_ context.Context, host string) ([]string, error) {
	if ips, ok := n[host]; ok {
		return ips, nil
	}
	return nil, errors.New("no such host: " + host)
}

func TestJoinList(t *testing.T) {
	dir := t.TempDir()
	good, bad, long := filepath.Join(dir, "good"), filepath.Join(dir, "bad"), filepath.Join(dir, "long")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(good, "# the cluster\n\n 10.0.0.1:7701 # n1\r\ncluster.example:7701\n")
	write(bad, "10.0.0.9:7701\nnonsense\n10.0.0.8:\n")
	write(long, "10.0.0.1:1\n"+strings.Repeat("#", joinFileMax))
	table := names{"cluster.example": {"10.0.0.1", "10.0.0.2", "fd00::1"}}

	for _, c := range []struct {
		name    string
		entries []string
		want    []string
		errs    []string
	}{
		{"nothing", nil, nil, nil},
		{"blanks", []string{"", " "}, nil, nil},
		{"addresses", []string{"10.0.0.1:7701", "[fd00::1]:7701"}, []string{"10.0.0.1:7701", "[fd00::1]:7701"}, nil},
		{"twice", []string{"10.0.0.1:7701", "10.0.0.1:7701"}, []string{"10.0.0.1:7701"}, nil},
		{"a name", []string{"cluster.example:7701"}, []string{"10.0.0.1:7701", "10.0.0.2:7701", "[fd00::1]:7701"}, nil},
		{"an unknown name", []string{"nowhere.example:1", "10.0.0.3:1"}, []string{"10.0.0.3:1"}, []string{"nowhere.example"}},
		{"a file", []string{"file:" + good}, []string{"10.0.0.1:7701", "10.0.0.2:7701", "[fd00::1]:7701"}, nil},
		{"a file with faults", []string{"file:" + bad}, []string{"10.0.0.9:7701"}, []string{"bad:2:", "bad:3:"}},
		{"a file that is too long", []string{"file:" + long}, []string{"10.0.0.1:1"}, []string{"longer than"}},
		{"no file", []string{"file:" + dir + "/none", "10.0.0.3:1"}, []string{"10.0.0.3:1"}, []string{"none"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			j, err := newJoinList(c.entries, table)
			if err != nil {
				t.Fatal(err)
			}
			got, err := j.addrs(t.Context())
			if !slices.Equal(got, c.want) {
				t.Errorf("%v, want %v", got, c.want)
			}
			if (err != nil) != (c.errs != nil) {
				t.Errorf("error %v", err)
			}
			for _, e := range c.errs {
				if err != nil && !strings.Contains(err.Error(), e) {
					t.Errorf("%q is not in error %v", e, err)
				}
			}
		})
	}
}

func TestJoinListReadsAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peers")
	table := names{}
	j, err := newJoinList([]string{"file:" + path, "n.example:1"}, table)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := j.addrs(t.Context()); err == nil || len(got) != 0 {
		t.Errorf("%v, %v", got, err)
	}
	table["n.example"] = []string{"10.0.0.1"}
	if err := os.WriteFile(path, []byte("10.0.0.2:2"), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := j.addrs(t.Context())
	if want := []string{"10.0.0.2:2", "10.0.0.1:1"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
}

func TestJoinListIsBounded(t *testing.T) {
	var many []string
	for range 300 {
		many = append(many, "10.0."+strconv.Itoa(len(many)/256)+"."+strconv.Itoa(len(many)%256))
	}
	j, err := newJoinList([]string{"n.example:1"}, names{"n.example": many})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := j.addrs(t.Context()); err != nil || len(got) != joinAddrsMax {
		t.Errorf("%d addresses, %v", len(got), err)
	}
}

func TestJoinListRefuses(t *testing.T) {
	for _, e := range []string{"n1", "n1:", "n1:0", ":7701", "n1:http", "n1:70000", "file:"} {
		if _, err := newJoinList([]string{e}, names{}); err == nil {
			t.Errorf("%q was taken", e)
		}
	}
}

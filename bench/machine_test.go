package bench

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
)

func TestThisMachine(t *testing.T) {
	needLinux(t)
	m, err := ThisMachine()
	if err != nil {
		t.Fatal(err)
	}
	if m.CPUs < 1 || m.Memory < 1<<20 || m.Kernel == "" || m.Go == "" || m.Descriptors < 1 || m.CPU == "" {
		t.Errorf("%+v", m)
	}
}

func TestProcField(t *testing.T) {
	text := []byte("processor\t: 0\nmodel name\t: AMD EPYC\nMemTotal:       100 kB\nempty:\n")
	for name, want := range map[string]string{"model name": "AMD EPYC", "MemTotal": "100 kB", "empty": "", "missing": ""} {
		if got, ok := procField(text, name); got != want || ok != (want != "") {
			t.Errorf("%s is %q, %v", name, got, ok)
		}
	}
}

func TestFreeAddr(t *testing.T) {
	a, err := FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", a.String())
	if err != nil {
		t.Fatalf("%s is not free: %v", a, err)
	}
	defer func() { _ = l.Close() }()
	if a.Port() < portFirst || a.Port() >= portLast {
		t.Errorf("port %d", a.Port())
	}
}

func TestParseBusy(t *testing.T) {
	base, err := parseBusy([]byte("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3\n"))
	if err != nil || base != (busy{work: 200, stolen: 0, all: 1000}) {
		t.Fatalf("%+v, %v", base, err)
	}
	now, err := parseBusy([]byte("cpu  150 0 150 980 100 0 0 20 50 0\n"))
	if err != nil {
		t.Fatal(err)
	}
	if work, stolen := now.since(base); work != 0.25 || stolen != 0.05 {
		t.Errorf("busy for %v of the time and stolen for %v, want 0.25 and 0.05", work, stolen)
	}
	for _, bad := range []string{"", "cpu 1 2", "cpu0 1 2 3 4 5 6", "cpu a b c d e f"} {
		if _, err := parseBusy([]byte(bad)); err == nil {
			t.Errorf("no error for %q", bad)
		}
	}
}

func TestAdminErrors(t *testing.T) {
	replies := map[string]string{"schema": `{"schema":99}`, "nonsense": "<html>"}
	for name, want := range map[string]string{"schema": "schema 99", "nonsense": "invalid character", "status": "500"} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if name == "status" {
				w.WriteHeader(http.StatusInternalServerError)
			}
			_, _ = w.Write([]byte(replies[name]))
		}))
		a := newAdmin(netip.MustParseAddrPort(s.Listener.Addr().String()))
		if _, err := a.reportLive(testContext(t)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", name, err, want)
		}
		s.Close()
		if _, err := a.report(context.Background()); err == nil {
			t.Error("no error from a server that has gone")
		}
	}
}

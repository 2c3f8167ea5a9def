package fleet

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
)

// fetch asks the admin pages of a supervisor.
func fetch(t *testing.T, a *Admin, path string) (int, string) {
	t.Helper()
	rec := httptest.NewRecorder()
	a.ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody))
	return rec.Code, rec.Body.String()
}

func TestAdminPages(t *testing.T) {
	s := startReady(t, testOptions(3, ""))
	a := NewAdmin(s, "a title")
	a.Handle("GET /cluster", "more", http.NotFound)
	for path, want := range map[string]string{
		"/":                                  "a title",
		"/livez":                             "ok",
		"/readyz":                            "ready",
		"/metrics":                           "\nb_info{version=\"1\"} 1\n",
		"/debug/pprof/heap?worker=2&debug=1": "heap of worker 2, debug 1",
	} {
		if code, body := fetch(t, a, path); code != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	for path, want := range map[string]int{
		"/nothing": 404, "/cluster": 404, "/debug/pprof/heap": 400, "/debug/pprof/heap?worker=3": 400, "/debug/pprof/?worker=x": 400,
	} {
		if code, _ := fetch(t, a, path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
	if _, body := fetch(t, a, "/"); !strings.Contains(body, "/cluster       more\n") {
		t.Errorf("index %s", body)
	}
	for _, one := range a.Ask(t.Context(), http.MethodPost, "/metrics") {
		if one.Err != nil || one.Status != http.StatusMethodNotAllowed {
			t.Errorf("worker %d: %d, %v", one.Worker, one.Status, one.Err)
		}
	}
	_, body := fetch(t, a, "/metrics")
	expect(t, "sum", values(t, []byte(body)), map[string]string{
		`g`: "6", `rookery_worker_processes{state="ready"}`: "3", `rookery_worker_process_restarts_total`: "0",
		`rookery_worker_process_missed_total`: "0",
	})
	_, body = fetch(t, a, "/debug/mem")
	var m memory
	if err := json.Unmarshal([]byte(body), &m); err != nil || m.Clients != 6 || len(m.Workers) != 3 {
		t.Errorf("memory of %d clients in %d workers, %v", m.Clients, len(m.Workers), err)
	}
}

// TestAdminCountsOn: the counters of a worker that is killed stay in the sum.
func TestAdminCountsOn(t *testing.T) {
	s := startReady(t, testOptions(2, ""))
	a := NewAdmin(s, "")
	const key = `a_total{cause="x y} 1"}`
	_, body := fetch(t, a, "/metrics")
	expect(t, "before", values(t, []byte(body)), map[string]string{key: "3"})
	before := s.Processes()[1]
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	until(t, "another process", func() bool {
		all := s.Processes()
		return len(all) == 2 && all[1].Ready && all[1].Incarnation != before.Incarnation
	})
	_, body = fetch(t, a, "/metrics")
	expect(t, "after", values(t, []byte(body)), map[string]string{key: "5", "g": "3", `rookery_worker_process_restarts_total`: "1"})
}

// TestAdminOfSilentWorkers: a worker that is stopped, or serves no admin pages,
// costs its part of the answer and not the answer.
func TestAdminOfSilentWorkers(t *testing.T) {
	s := startReady(t, testOptions(1, "silent"))
	a := NewAdmin(s, "")
	if code, body := fetch(t, a, "/readyz"); code != 503 || !strings.Contains(body, "0 of 1") {
		t.Errorf("silent: %d %s", code, body)
	}
	if code, _ := fetch(t, a, "/debug/pprof/heap?worker=0"); code != 502 {
		t.Errorf("profile of a silent worker: %d", code)
	}
	s = startReady(t, testOptions(2, "busy"))
	a = NewAdmin(s, "")
	if code, body := fetch(t, a, "/readyz"); code != 503 || !strings.Contains(body, "1 of 2") {
		t.Errorf("busy: %d %s", code, body)
	}
	pid := s.Processes()[0].PID
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	until(t, "it is stopped", func() bool { return state(pid) == "T" })
	_, body := fetch(t, a, "/metrics")
	expect(t, "stopped", values(t, []byte(body)), map[string]string{"g": "2", `rookery_worker_processes{state="ready"}`: "2"})
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if code, body := fetch(t, a, "/readyz"); code != 503 || !strings.Contains(body, "draining") {
		t.Errorf("drained: %d %s", code, body)
	}
}

package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rookery-server/rookery/cluster"
)

// A node whose admin address means another node here is neither shown with that
// one's figures nor drained in its place.
func TestAdminOfAnother(t *testing.T) {
	var orders atomic.Int64
	var addr string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			orders.Add(1)
		}
		nodes := []cluster.Node{{Name: "n1", Admin: addr, State: cluster.Alive}, {Name: "n2", Admin: addr, State: cluster.Alive}}
		report := cluster.Report{Node: "n1", View: &cluster.View{Self: "n1", Nodes: nodes}, Processes: []cluster.Status{{Homes: 7}}}
		if err := json.NewEncoder(w).Encode(report); err != nil {
			t.Error(err)
		}
	}))
	defer srv.Close()
	addr = srv.Listener.Addr().String()

	var stdout, stderr bytes.Buffer
	if code := run([]string{"cluster", "status", "--json", "--admin", addr}, &stdout, &stderr, nil); code != exitOK {
		t.Fatalf("exit code %d: %s", code, stderr.String())
	}
	var rows []statusRow
	if err := json.Unmarshal(stdout.Bytes(), &rows); err != nil || len(rows) != 2 {
		t.Fatalf("%v in %s", err, stdout.String())
	}
	if rows[0].Sessions != 7 || rows[0].Error != "" || rows[1].Sessions != 0 || !strings.Contains(rows[1].Error, `at which "n1" answers`) {
		t.Errorf("rows %+v", rows)
	}
	if code := run([]string{"cluster", "drain", "n2", "--admin", addr}, &stdout, &stderr, nil); code != exitFailed || orders.Load() != 0 {
		t.Errorf("drain: exit code %d, %d orders", code, orders.Load())
	}
	if !strings.Contains(stderr.String(), `at which "n1" answers`) {
		t.Errorf("drain says %s", stderr.String())
	}
	if code := run([]string{"cluster", "drain", "n3", "--admin", addr}, &stdout, &stderr, nil); code != exitUsage || !strings.Contains(stderr.String(), "there are n1, n2") {
		t.Errorf("drain of a node that is not there: exit code %d, %s", code, stderr.String())
	}
}

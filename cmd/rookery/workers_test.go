package main

import (
	"reflect"
	"testing"
)

// --workers auto: enough processes for the connections that are left to a node
// when R-1 of its peers are lost, by descriptors and not by processors.
func TestChooseWorkers(t *testing.T) {
	for _, c := range []struct {
		name  string
		conns int
		at    circumstances
		want  int
	}{
		{"100K on one node with 20,000 descriptors", 100_000, circumstances{20_000, 2, 1, 1}, 6},
		{"the same on four nodes of which one may be lost", 100_000, circumstances{20_000, 2, 4, 2}, 2},
		{"and of which two may be lost", 100_000, circumstances{20_000, 2, 4, 3}, 3},
		{"all copies everywhere", 100_000, circumstances{20_000, 2, 4, 4}, 6},
		{"more copies than nodes", 100_000, circumstances{20_000, 2, 2, 3}, 6},
		{"as many as one process holds", 19_936, circumstances{20_000, 2, 1, 1}, 1},
		{"one more", 19_937, circumstances{20_000, 2, 1, 1}, 2},
		{"a high limit", 1_000_000, circumstances{1 << 20, 64, 1, 1}, 1},
		{"no limit known", 1_000_000, circumstances{0, 64, 1, 1}, 1},
		{"an absurd limit", 10_000_000, circumstances{65, 2, 1, 1}, workersCeiling},
		{"nobody says how many: by processors", 0, circumstances{20_000, 2, 1, 1}, 2},
		{"but no more than needed", 0, circumstances{20_000, 64, 1, 1}, 4},
		{"nobody says, high limit", 0, circumstances{1 << 20, 64, 1, 1}, 1},
	} {
		got, why := chooseWorkers(c.conns, c.at)
		if got != c.want || why == "" {
			t.Errorf("%s: %d workers (%s), want %d", c.name, got, why, c.want)
		}
	}
}

func TestResolveWorkers(t *testing.T) {
	c := config{workers: 7}
	if n, _ := c.resolveWorkers(limits{}); n != 7 {
		t.Errorf("%d workers, asked for 7", n)
	}
	c = config{workers: workersAuto, connsMax: 50_000}
	want := 3
	if !workersSupported {
		want = 1
	}
	if n, _ := c.resolveWorkers(limits{openFiles: 20_000}); n != want {
		t.Errorf("%d workers, want %d", n, want)
	}
}

// What the settings tell of the cluster counts.
func TestClusterSize(t *testing.T) {
	c := config{gossip: "n1:7701", join: []string{"n1:7701", "n2:7701", "n3:7701", "n2:7701", "n4:7701"}, workers: workersAuto, connsMax: 100_000, replicas: 3}
	if n := c.clusterSize(); n != 4 {
		t.Errorf("%d nodes, want 4", n)
	}
	if !workersSupported {
		return
	}
	for replicas, want := range map[int]int{1: 2, 3: 3, 0: 6} {
		c.replicas = replicas
		if n, why := c.resolveWorkers(limits{openFiles: 20_000}); n != want {
			t.Errorf("%d copies: %d workers (%s), want %d", replicas, n, why, want)
		}
	}
}

// The bounds of a node are divided; together the workers keep them.
func TestPerWorker(t *testing.T) {
	c := config{connsMax: 100_001, sessionsMax: 10, eventBudget: 64 << 20}
	want := map[string]string{"workers": "4", "conns-max": "25001", "sessions-max": "3", "event-budget": "16MiB"}
	if got := c.perWorker(4); !reflect.DeepEqual(got, want) {
		t.Errorf("settings %v, want %v", got, want)
	}
	c = config{sessionsMax: 1, eventBudget: 2}
	want = map[string]string{"workers": "4", "conns-max": "0", "sessions-max": "1", "event-budget": "1"}
	if got := c.perWorker(4); !reflect.DeepEqual(got, want) {
		t.Errorf("settings %v, want %v", got, want)
	}
}

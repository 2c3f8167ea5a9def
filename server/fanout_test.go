package server

import (
	"testing"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/mcp"
)

// TestFanOutAllocates pins that a publication costs no memory for each client:
// what it allocates, its message and a list, does not grow with them but for the
// list.
func TestFanOutAllocates(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	const clients = 128
	s := startServer(t, Options{}, testTools(t, nil))
	for range clients {
		c := dial(t, s.HTTPAddr())
		id := c.begin()
		c.send(getStream + id + "\r\n\r\n")
		c.until("id: ")
	}
	store := replicas{&clustering{s: s}}
	payload := mcp.AppendPublication(nil, &mcp.Publication{Audience: mcp.ToSessions, Method: "notifications/m"})
	seq := uint64(0)
	publish := func() {
		seq++
		w, err := store.Spread(payload, cluster.Origin{Peer: 1, Seq: seq}, true)
		if err != nil {
			t.Fatal(err)
		}
		for !w.Step(clients / 4) {
			continue
		}
		for done := false; !done; {
			_, done = w.Commit(clients / 4)
		}
		if n := w.Delivered(); n != clients || w.Visited() != clients {
			t.Fatalf("delivered %d, visited %d", n, w.Visited())
		}
	}
	publish() // the first one makes the logs
	if n := testing.AllocsPerRun(20, publish); n > clients/2 {
		t.Errorf("%v allocations a publication to %d clients", n, clients)
	} else {
		t.Logf("%v allocations a publication", n)
	}
}

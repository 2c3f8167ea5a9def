package server

import (
	"testing"

	"github.com/rookery-server/rookery/mcp"
)

// TestRemotesShrink: what a burst has made the table grow to is given back, and
// no id ever names another connection.
func TestRemotesShrink(t *testing.T) {
	var table remotes
	seen := map[mcp.StreamID]bool{}
	var stale []*remote
	for round := range 3 {
		var all []*remote
		for i := range 2 * slotsKeep {
			r := table.add(1, uint64(i))
			if r == nil || seen[r.id] {
				t.Fatalf("round %d, connection %d: %+v, seen before: %v", round, i, r, r != nil && seen[r.id])
			}
			seen[r.id] = true
			all = append(all, r)
		}
		for _, r := range stale {
			if got := table.get(r.id); got != nil {
				t.Fatalf("an id of an earlier round names %+v", got)
			}
			table.remove(r) // late
		}
		table.shrink()
		if table.len() != len(all) || table.get(all[0].id) != all[0] {
			t.Fatalf("%d of %d are left while in use", table.len(), len(all))
		}
		for _, r := range all {
			table.remove(r)
		}
		table.shrink()
		if n := len(table.slots); n != 0 {
			t.Fatalf("%d slots are kept", n)
		}
		stale = append(stale, all[0], all[len(all)-1])
		table.remove(all[len(all)-1])
	}
}

// TestRemotesOfOneName: a name is taken until its connection is forgotten.
func TestRemotesOfOneName(t *testing.T) {
	var table remotes
	r := table.add(1, 7)
	if r == nil || table.add(1, 7) != nil || table.add(2, 7) == nil {
		t.Error("a name is a peer and its number, and names one connection")
	}
}

// TestForwardAskedAgain: a GET that its peer asks once more takes the place of
// the first.
func TestForwardAskedAgain(t *testing.T) {
	fleet, servers := startFleet(t, 2, Options{}, fleetTools(t, nil))
	fleet.cores[0].stay()
	id := dial(t, servers[0].HTTPAddr()).begin()
	c := servers[0].cluster
	for range 3 {
		c.serveFor(2, 77, []byte(getStream+id+"\r\n\r\n"))
	}
	if st := servers[0].Stats().MCP; st.StreamsOpened != 3 || st.StreamsClosed != 2 || c.remotes.len() != 1 || c.noRoom.Load() != 0 {
		t.Errorf("%d streams opened, %d closed, %d connections, %d found no room", st.StreamsOpened, st.StreamsClosed, c.remotes.len(), c.noRoom.Load())
	}
	c.clientGone(c.remotes.find(2, 77))
	nothingLeft(t, servers)
}

package server

import (
	"cmp"
	"slices"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/mcp"
)

// What a process has of a session whose home is another one goes there: this file
// says what that is, and takes it.

// beyond returns the events of a log that another one has neither now nor has
// let go, or has under higher numbers, or has where this one, of a home that took
// over, did not have them.
func (t replicas) beyond(log uint32, other *cluster.Log) (extra []cluster.Event) {
	has := make(map[cluster.Origin]uint32, len(other.Events))
	for i := range other.Events {
		has[other.Events[i].Origin] = other.Events[i].Seq
	}
	fork := t.log().Fork(log)
	t.log().Each(log, func(seq, stream, body uint32, msg []byte) {
		origin := t.log().Origin(body)
		at, ok := has[origin]
		if (!ok || seq < at || fork != 0 && fork <= at && mcp.Takeover(at) < mcp.Takeover(seq)) && seq > other.Floors[stream>>31] {
			extra = append(extra, cluster.Event{Stream: stream, Seq: seq, Origin: origin, Msg: msg})
		}
	})
	slices.SortStableFunc(extra, marksFirst)
	return extra
}

// marksFirst orders events by the takeover after which they were numbered, and of
// those of one the marks first: they tell the home to which all goes who has heard
// the others, which may stand before them, if their home took over before its
// client came.
func marksFirst(a, b cluster.Event) int {
	rank := func(e *cluster.Event) int {
		if mcp.Marks(e.Stream) {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(mcp.Takeover(a.Seq), mcp.Takeover(b.Seq)), cmp.Compare(rank(&a), rank(&b)))
}

// Merge implements cluster.Store.
func (t replicas) Merge(ref uint64, events []cluster.Event) {
	for i := range events {
		if e := &events[i]; e.Stream != 0 && len(e.Msg) > 0 {
			t.mcp().Merge(ref, e.Stream, e.Seq, e.Origin, e.Msg)
		}
	}
}

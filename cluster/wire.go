package cluster

import "encoding/binary"

// Messages between peers. Each begins with its kind; numbers are varints or
// little-endian, texts and bytes stand behind their length.
//
// What a home tells those who hold copies names sessions by handles: the low 32
// bits of the home's ref, which the first message of a session (kindOpen) binds
// to its id. Random ids do not compress, and 16 bytes would be most of a change.
const (
	// Home to copy, in order within a partition.
	kindOpen  = iota + 1 // handle, pointer, session: everything; binds the handle
	kindState            // handle, state
	kindTopic            // handle, on, topic
	kindEvent            // handle, stream, number, message
	kindClose            // handle, id: the session has ended
	kindReset            // partitions: unbind all their handles, a fill follows

	// Between homes.
	kindElsewhere // id, epoch: the sender is home of it, and the receiver holds no copy
	kindStale     // id, epoch, incarnation: what kindOpen said is out of date
	kindMerge     // number, id, events that the home lacks
	kindMerged    // number, how it ended
	kindOrphan    // ids whose home is lost and which the receiver is to take
	kindMoved     // conn, framing, processed publications, session, fork unless 0, with batch.FeatureForks: the receiver is the home
	kindFetch     // id: the receiver is to hand it over
	kindKept      // id, epoch: what was handed over is not taken; with epoch 0, it cannot be handed over now
	kindArrived   // id, epoch: what was handed over is held here and by copies

	// Requests on their way to a home.
	kindForward // incarnation of the peer with the connection, conn, hops, id, request
	kindAt      // conn, incarnation: your request was sent on
	kindNotHere // conn, sure, hash of the view: no such session
	kindReply   // conn, flags, bytes
	kindGone    // conn: it has closed

	// Publications.
	kindPublish   // number, the publisher's oldest open one, round, flags, view, origin, payload
	kindPublished // number, round, status, delivered
	kindNotify    // a notification that was sent on, or to who does not know kindNote: hops and flags, incarnation of the peer that asks unless it is the sender, number, origin unless it follows from that, id, payload
	kindNotified  // number, status

	kindDigest // set of partitions that the peer is to hold, and of those it has been brought; partition and digest of the latter unless 0
	kindDiffer // partitions whose digest differs

	kindLeaving // the sender takes no more requests: it has said kindAt of all that it has taken
)

// Kinds with a feature of their own; their numbers are those of batch/SPEC.md.
const (
	// With batch.FeatureNotes, on the data lane and the control lane.
	kindNote   = iota + 40 // number and flags, handle, id if the handle is bound to it, origin unless it follows from the number, payload
	kindReport             // runs of notifications that ended alike: how many and how

	// With batch.FeatureRuns, on the data lane.
	kindEvents // message; sessions that have it: handle, stream and number as they differ from those before
)

// A session in a message:
//
//	id, epoch, state (8 bytes), client, topics, last number, floors, events
func appendSnapshot(b []byte, s *Snapshot, bodies *bodyOut) []byte {
	b = append(b, s.ID[:]...)
	b = binary.AppendUvarint(b, uint64(s.Epoch))
	b = binary.LittleEndian.AppendUint64(b, s.State)
	b = appendBytes(b, s.Client)
	b = binary.AppendUvarint(b, uint64(len(s.Topics)))
	for _, t := range s.Topics {
		b = appendBytes(b, t)
	}
	b = binary.AppendUvarint(b, uint64(s.Log.Last))
	for _, f := range s.Log.Floors {
		b = binary.AppendUvarint(b, uint64(f))
	}
	return appendEvents(b, s.Log.Events, bodies)
}

func appendEvents(b []byte, events []Event, bodies *bodyOut) []byte {
	b = binary.AppendUvarint(b, uint64(len(events)))
	for i := range events {
		e := &events[i]
		b = appendEvent(b, e.Stream, e.Seq, e.Origin, e.Msg, bodies)
	}
	return b
}

func appendEvent(b []byte, stream, seq uint32, origin Origin, msg []byte, bodies *bodyOut) []byte {
	b = binary.AppendUvarint(b, uint64(stream))
	b = binary.AppendUvarint(b, uint64(seq))
	if bodies == nil {
		return appendBytes(appendOrigin(append(b, bodyInline), origin), msg)
	}
	return bodies.append(b, origin, msg)
}

func (r *reader) snapshot(bodies *bodyIn) (s Snapshot) {
	s.ID, s.Epoch, s.State, s.Client = r.id(), r.uint32(), r.uint64(), r.text()
	if n := r.count(1); n > 0 {
		s.Topics = make([]string, n)
	}
	for i := range s.Topics {
		s.Topics[i] = r.text()
	}
	s.Log.Last = r.uint32()
	for i := range s.Log.Floors {
		s.Log.Floors[i] = r.uint32()
	}
	s.Log.Events = r.events(bodies)
	return s
}

func (r *reader) events(bodies *bodyIn) []Event {
	n := r.count(4)
	if n == 0 {
		return nil
	}
	all := make([]Event, n)
	for i := range all {
		all[i] = r.event(bodies)
	}
	return all
}

func (r *reader) event(bodies *bodyIn) (e Event) {
	e.Stream, e.Seq = r.uint32(), r.uint32()
	e.Origin, e.Msg = bodies.read(r)
	return e
}

func appendPartitions(b []byte, parts []uint16) []byte {
	b = binary.AppendUvarint(b, uint64(len(parts)))
	for _, p := range parts {
		b = binary.LittleEndian.AppendUint16(b, p)
	}
	return b
}

func (r *reader) partitions() []uint16 {
	parts := make([]uint16, r.count(2))
	for i := range parts {
		if b := r.take(2); b != nil {
			if parts[i] = binary.LittleEndian.Uint16(b); int(parts[i]) >= partitions {
				r.bad = true
			}
		}
	}
	return parts
}

func appendPartitionSet(b []byte, s *partitionSet) []byte {
	for _, word := range s {
		b = binary.LittleEndian.AppendUint64(b, word)
	}
	return b
}

func (r *reader) partitionSet() (s partitionSet) {
	for i := range s {
		s[i] = r.uint64()
	}
	return s
}

func appendID(b []byte, kind byte, id ID) []byte { return append(append(b, kind), id[:]...) }

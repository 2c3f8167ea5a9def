package cluster

// ID names a session in the whole cluster.
type ID = [16]byte

// Origin is the identity of an event: the incarnation of the peer that
// published it and the publication's number there.
type Origin = struct{ Peer, Seq uint64 }

// Session is what a cluster knows of a session's record.
type Session struct {
	ID    ID
	Epoch uint32 // the highest one's writer of State is right
	Home  uint32 // number of the Link to the peer that holds the client; 0: this peer; see homePointer
	State uint64 // protocol state, as the Store packs it
}

// homePointer marks the Home of an entry that another worker of the home's node
// has only to know where the session is: it has no subscriptions and no events
// and is never made a home.
const homePointer = 1 << 31

// home returns the number of the link to the home, 0: this peer.
func (s *Session) home() uint32 { return s.Home &^ homePointer }

func (s *Session) isPointer() bool { return s.Home&homePointer != 0 }

// Role is what a process has of a session.
type Role uint8

// The roles.
const (
	RoleHome    Role = iota // it holds the client
	RoleCopy                // all of it, for its home
	RolePointer             // where its home is, and no more
)

// RoleOf returns the role that Session.Home says.
func RoleOf(home uint32) Role {
	switch s := (Session{Home: home}); {
	case home == 0:
		return RoleHome
	case s.isPointer():
		return RolePointer
	}
	return RoleCopy
}

// Event is one event of a session's log.
type Event struct {
	Stream, Seq uint32
	Origin      Origin
	Msg         []byte
}

// Place is where an event belongs in the log of one session.
type Place struct {
	Ref         uint64
	Stream, Seq uint32
	Handle      uint32 // the Core's
}

// Log is the event log of a session. The zero value is none.
type Log struct {
	Last   uint32    // last number drawn
	Floors [2]uint32 // highest number lost, by kind of stream
	Events []Event   // in order of Seq
	Fork   uint32    // the lowest number that its client may lack elsewhere, below its latest range; 0: it was never taken over
}

// Snapshot is everything of a session that travels. What its slices refer to is
// valid for as long as the call that got it lasts.
type Snapshot struct {
	Session
	Client string   // name and version of the client
	Topics []string // what it subscribed to
	Log    Log
}

// Store is where the sessions of this process are, homes and copies alike: the
// server's tables. Its methods are safe for concurrent use and do not block
// beyond short locks. Refs are never 0; one whose session is gone is refused,
// never another session's; the low 32 bits of a ref name no other session that
// lives at the same time.
//
// A Store calls the Core back (Noted, Subscribed, Changed, Opened, Ended) under
// its own locks; the Core takes only leaf locks there.
type Store interface {
	Find(id ID) (ref uint64, ok bool)
	Load(ref uint64) (Session, bool)
	// Range visits the sessions whose ref has low 32 bits of at least from, in
	// the order of those bits, with no lock held, until f returns false.
	Range(from uint32, f func(ref uint64, s Session) bool)
	// Count returns how many of those that Range visits are at home here, and how
	// many are copies, without visiting them. Numbers that change meanwhile may
	// be a few off.
	Count() (homes, copies int)
	// Digest hashes what copies must have alike: ID, Epoch, State, subscriptions
	// and the number of the latest event.
	Digest(ref uint64) uint64

	// Export calls f with a session's whole state, under the locks that changes
	// of it take, so that what f sends to a Link stands between the changes
	// before and those after. It reports whether the session exists.
	Export(ref uint64, f func(*Snapshot)) bool
	// Adopt adds a copy. The error says that there is no room.
	Adopt(s *Snapshot) (ref uint64, err error)
	// Replace makes of the session ref the copy that s describes, whatever it
	// was before. If this peer was its home, calls are cancelled, nothing else is
	// written to its client, and Dismiss follows. It returns the events that the log had and s has not, or has under a higher number: a
	// client may know them by the one here.
	Replace(ref uint64, s *Snapshot) (extra []Event, ok bool)
	// Dismiss ends the streams that clients had here of a session that Replace
	// has made a copy. With ready its home has all that this peer had, so that
	// they may come there at once.
	Dismiss(ref uint64, ready bool)
	// Write stores State of a copy, Subscribe one change of its subscriptions,
	// Append one event of its log.
	Write(ref uint64, state uint64)
	Subscribe(ref uint64, topic string, on bool)
	Append(ref uint64, e *Event)
	// AppendEach is Append of the event with e's Origin and Msg at many places, for
	// the copies among them whose Home is home. It returns the other places, in a
	// part of to.
	AppendEach(home uint32, e *Event, to []Place) (others []Place)
	// Remove forgets a copy.
	Remove(ref uint64)
	// End ends a session whose home this peer is, as its client's wish would.
	End(ref uint64)

	// Promote makes a copy's home of this peer. With unclean the former home is
	// lost with what it had not sent: the log's numbers begin a new range.
	Promote(ref uint64, epoch uint32, unclean bool) bool
	// HandOver calls f with the state of a session that rests, under its locks,
	// and makes it a copy whose home is the link. conn is the connection of that
	// peer which holds its stream, 0 for none, or one that is not that peer's:
	// such a stream ends. It reports false if calls are in flight.
	HandOver(ref uint64, home, epoch uint32, f func(s *Snapshot, conn uint64, framing uint8)) bool
	// Attach makes a connection of this process the open stream of a session
	// that was handed over to it. Promote follows.
	Attach(ref uint64, conn uint64, framing uint8) bool
	// Merge adds events that another former home or copy had to the log of a
	// session at home here, each once, and sends what the client lacks.
	Merge(ref uint64, events []Event)

	// Spread begins a publication to the sessions at home here and to streams
	// without a session. With again, logs are searched for the event first.
	Spread(payload []byte, origin Origin, again bool) (Walk, error)
	// SpreadTo puts an event into the log of one session, as Walk.Step does, and
	// Commit writes to its client what it has not been sent of the events numbered
	// up to last; Latest returns the number of the latest one. payload is valid
	// until SpreadTo returns.
	SpreadTo(ref uint64, payload []byte, origin Origin, again bool) error
	Commit(ref uint64, last uint32)
	Latest(ref uint64) uint32

	// Serve serves a request for a session that is at home here. It came to a
	// connection of another peer, to which output goes through Core.Reply, or,
	// with from 0, to one of this process, where it waits since Route. msg is
	// valid until it returns.
	Serve(from uint32, conn uint64, msg []byte)
	// ClientGone says that a connection of another peer has closed.
	ClientGone(from uint32, conn uint64)
	// Deliver writes bytes to a connection of this process.
	Deliver(conn uint64, flags ReplyFlags, p []byte)
	// Refuse answers the request that Route took.
	Refuse(conn uint64, why Refusal)
	// PeerGone says that a peer will not be heard of again: its connections are
	// gone, and what waits for it here ends: the Store says so with Core.Reply of
	// ReplyClose on each, for a peer that does return.
	PeerGone(link uint32)
}

// Walk is a publication on its way through the sessions of this process.
type Walk interface {
	// Step puts the event into the logs of about max further sessions, whose
	// changes go to Core.Noted, and reports whether all were visited.
	Step(max int) (done bool)
	// Visited returns how many sessions were visited so far.
	Visited() int
	// Commit writes to the clients of about max of the sessions visited and not
	// committed, and returns how many those were and whether there are no more.
	// The core calls it when the links have what Noted was told: a process that
	// is killed leaves no client with an event that no copy has. A client may be
	// sent events of later walks with it.
	Commit(max int) (n int, done bool)
	// Delivered returns to how many clients it went or for how many it is kept.
	Delivered() int
}

// ReplyFlags say what follows bytes of a response.
type ReplyFlags uint8

// The flags of Core.Reply.
const (
	ReplyLast  ReplyFlags = 1 << iota // the response is complete: the connection goes on to its next request
	ReplyClose                        // the connection ends behind these bytes
	ReplyHold                         // the response is a stream that stays open
	ReplyPart                         // the bytes are cut: their rest follows, and nothing may stand between
)

// Refusal says why a request could not be brought to its session.
type Refusal uint8

// The refusals.
const (
	RefusedUnknown     Refusal = iota + 1 // there is no such session: 404
	RefusedUnavailable                    // it may be where nobody can ask: 503, Retry-After
	RefusedBusy                           // queues are full: 503, Retry-After
	RefusedLost                           // its peer was lost with the request: 502
)

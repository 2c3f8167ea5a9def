package mcp

// Session is the protocol state of one client that outlives a request: what
// initialize agreed on, and where its open stream is. It holds no pointer and
// is at most 64 bytes, so that a table of a million of them costs the garbage
// collector nothing.
type Session struct {
	ID       [16]byte     // drawn by Sessions.Create
	Stream   StreamID     // the latest GET stream, while open, or the TCP connection; 0 none
	LastUsed uint32       // kept by the implementer of Sessions
	Client   uint32       // Options.Intern of the client's name and version; 0 unknown
	Topics   uint32       // first of its subscriptions; mcp's own use
	Log      uint32       // its event log, see Events; mcp's own use
	Home     uint32       // whose client it is: 0 ours; else this is a copy, and never written to
	Epoch    uint32       // rises with every change of Home; the highest is right
	Gets     uint16       // GET streams it has opened, the number of the latest; mcp's own use
	Caps     Capabilities // what the client can answer
	Protocol Revision     // agreed in initialize
	LogLevel Level        // set by logging/setLevel; 0 none sent
	State    State
	Flags    uint8 // mcp's own use: how Stream is framed
}

// Flags of a session.
const (
	flagTCP     = 1 << iota // Stream is a TCP connection: lines, not events
	flagPlain               // Stream ends with its connection (HTTP/1.0): no chunks
	flagOpening             // the head of a listen stream is being written: see opening.go
	flagHeld                // the session has more open streams: see held.go
	flagPending             // a listen stream waits for its acknowledgement: see backlisten.go
	flagResume              // with flagTCP: it outlives its connection, see takeup.go
	flagSettled             // a GET stream was opened since the session came here: see resume.go; TCP: it has asked something

	// kindFlags belong to the session, the others to its streams.
	kindFlags = flagTCP | flagResume
)

// Listening reports whether the session has, or may have, a stream open besides
// Stream.
func (s *Session) Listening() bool { return s.Flags&flagHeld != 0 }

// level returns the least severe message the session wants: a client that never
// set a level may be sent what the server likes (logging); nothing below info
// is of use to strangers.
func (s *Session) level() Level {
	if s.LogLevel == 0 {
		return LevelInfo
	}
	return s.LogLevel
}

// State says how far the lifecycle of a session is.
type State uint8

// The states of a session.
const (
	StateInitialized State = iota + 1 // initialize was answered
	StateReady                        // notifications/initialized arrived
)

// Sessions stores sessions. Server implements it over the session table; it is
// safe for concurrent use and does not block. A ref is never 0 and its top bit
// is clear; a ref whose session is gone is refused, never another session's.
type Sessions interface {
	// Create stores s under an id it draws. Its error says that the table is full.
	Create(s Session) (id [16]byte, ref uint64, err error)
	Find(id [16]byte) (ref uint64, ok bool)
	Load(ref uint64) (Session, bool)
	// Update runs f under the lock of that one record: f must not block or call Sessions.
	Update(ref uint64, f func(*Session)) bool
	Touch(ref uint64)
	Delete(ref uint64) (Session, bool)
	// Range is weakly consistent; no lock is held while f runs.
	Range(f func(ref uint64, s Session) bool)
}

// endSession cleans up behind a session that is already deleted.
func (s *Server) endSession(ref uint64, last Session, cause error) {
	if last.Home == 0 {
		s.count.sessionsEnded.Add(1)
	}
	s.subs.drop(last.Topics)
	s.o.Calls.CancelScope(sessionScope(ref), cause)
	delivery := s.delivery(ref)
	delivery.Lock()
	defer delivery.Unlock()
	switch {
	case last.Stream == 0:
	case last.Flags&flagTCP == 0:
		s.endStream(last.Stream, last.Flags)
	case last.Flags&flagResume != 0:
		s.o.Host.End(last.Stream)
	}
	s.unsent.forget(ref)
	s.former.take(ref)
	for _, h := range append(s.held.drop(ref), s.silent.drop(ref)...) {
		s.endStream(h.st, h.flags)
	}
	if s.o.Events != nil {
		s.o.Events.Drop(last.Log)
	}
}

// SessionEnded says that the session table dropped a session by itself: its
// calls, questions, subscriptions and stream end. mcp does the same for
// sessions it deletes. Keep sessions whose Stream is not 0 from being dropped
// for idleness, because their clients listen, and those whose Home is not 0:
// their home decides.
func (s *Server) SessionEnded(ref uint64, last Session) { s.endSession(ref, last, ErrSessionEnded) }

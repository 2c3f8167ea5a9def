package loop

import "time"

// A Protocol gives bytes a meaning. One value serves all connections of a
// listener; what it must remember of a connection it keeps in the connection's
// word ([Conn.Word]) or in tables of its own.
//
// All methods but Work run on the connection's loop goroutine: they must not
// block, and what they need of memory they give back before they return.
type Protocol interface {
	// Open is the first call for a connection.
	Open(c Conn)

	// Step looks at the first message in t.In and says what becomes of it.
	// It is called again while bytes remain and the verdict is Next or Work.
	// It is also called, perhaps with no bytes at all, when the peer has
	// finished while a worker still has messages of the connection (t.EOF and
	// t.Busy): a protocol for which that means that the peer has gone answers
	// Abort, others More.
	Step(t *Turn) Verdict

	// Work handles one record that Step queued. It runs on a worker and may
	// block; records of one connection run one after another, in order.
	Work(j *Job)

	// Tick is called every Options.KeepAlive for a connection on Hold.
	Tick(c Conn)

	// Drain asks the protocol to say goodbye on an idle or held connection
	// because the group is stopping. The loop ends the connection afterwards.
	Drain(c Conn)

	// Closed is the last call for a connection; h is already stale. For a
	// connection with a running record it comes while that record still runs.
	Closed(h Handle, word uint64, r Reason)
}

// A Verdict is what Step decided about the first message.
type Verdict uint8

const (
	// More: the message is incomplete. The bytes are kept and shown again,
	// with those that follow them. Turn.N bytes may be given up (white space).
	More Verdict = iota
	// Next: Turn.N bytes are done with.
	Next
	// Work: Turn.N bytes are done with, and Turn.Record is to be worked on.
	Work
	// Hold: Turn.N bytes are done with, and the reply in Turn.Out stays open
	// as a stream. Step is not called until [Conn.Release]; bytes that arrive
	// meanwhile are kept up to Options.HoldMax, then reading pauses. The end
	// of the peer's bytes closes a held connection.
	Hold
	// End: Turn.N bytes are done with; the connection closes with Turn.Reason
	// once all that was written has left.
	End
	// Abort: the connection closes at once with Turn.Reason.
	Abort
)

// A Turn is one look at a connection's bytes. It belongs to the loop and is
// valid during Step only.
type Turn struct {
	Conn Conn

	// In holds the unread bytes. They are the loop's buffer: copy what must
	// outlive Step. They may be changed in place (decoding of chunks).
	In []byte
	// EOF says that the peer will send nothing after In.
	EOF bool
	// Busy says that a worker still has earlier messages of this connection:
	// what may not wait (answers, cancellations, pings) may be handled here,
	// everything else must become Work to keep its place.
	Busy bool
	// Overloaded says that the byte budget of the process is used up: answer
	// what would become Work with the protocol's "overloaded" instead.
	Overloaded bool
	// Draining says that the group is stopping: the connection ends behind what
	// it is answered now, and the answer should say so.
	Draining bool
	// Scan is parser state of one unfinished message. It is zero at the start
	// of a message and kept as long as the verdict is More.
	Scan *[2]uint64

	// Out takes replies: append to it. They are written when the turn is over.
	Out []byte
	// Late, which a Step may set that returns Next, says that its reply may be
	// written a little later, together with those of other connections that were
	// ready at the same time: what somebody else writes to this connection
	// meanwhile need not come behind it.
	Late bool
	// Record takes what Work needs: append to it before the verdict Work.
	Record []byte
	// N is the number of bytes of In that are done with.
	N int
	// Reason goes with End and Abort.
	Reason Reason
}

// A Job is one record being worked on. It is valid until Work returns.
type Job struct {
	Conn Conn
	// Record is what Step appended; it is valid until Work returns.
	Record []byte
	// Out takes replies: append to it. They are written after Work returns,
	// before the connection's next record is begun, so that no reply waits for
	// a slow handler behind it. Do not mix with Conn.Write from inside Work
	// unless order does not matter; Flush writes them earlier.
	Out []byte
	// Wait is the time the record spent in the queue.
	Wait time.Duration
	// End closes the connection with Reason after Out has left.
	End    bool
	Reason Reason

	worker worker
}

// worker is what a backend knows of the goroutine that runs a job.
type worker interface {
	leave(j *Job, release bool) error
	comeBack(j *Job)
}

// Leave takes the job out of the count of running workers because its handler
// is going to wait (for a client's answer, an acknowledgement, another node),
// so that any number of waiting calls up to Options.WaitingMax never keeps
// work from being done. Out is written before Leave returns. With release,
// later records of the same connection may run meanwhile, and replies must go
// through Conn.Write. It returns ErrTooManyWaiting at the bound; the
// handler should then answer "overloaded" instead of waiting.
func (j *Job) Leave(release bool) error { return j.worker.leave(j, release) }

// Return ends what Leave began. It does not block.
func (j *Job) Return() { j.worker.comeBack(j) }

// Flush writes Out now and empties it.
func (j *Job) Flush() error {
	if len(j.Out) == 0 {
		return nil
	}
	err := j.Conn.Write(j.Out)
	j.Out = j.Out[:0]
	return err
}

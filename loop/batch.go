package loop

// A Batch writes to many connections with few system calls. Get it with
// [Group.Batch] and give it back with Close; it belongs to one goroutine.
//
// What Write takes is sent by Flush or Close at the latest. Until then the
// connections concerned are the batch's: whoever else wants to write to one, or
// to end it, waits. So who has written to a batch flushes it before he waits for
// anything that may wait for a connection: a lock under which others write, a
// queue that is emptied by them.
type Batch struct {
	b     backend
	stage stage // nil: everything is written at once
}

// stage is where a backend keeps the writes of a batch.
type stage interface {
	write(h Handle, p []byte) error
	flush()
	done()
}

// Batch returns a batch. A group has one that saves system calls, on Linux with a
// kernel of at least 5.17 that lets this process have an io_uring; where there is
// none, or another goroutine has it, the batch writes as [Conn.Write] does.
func (g *Group) Batch() Batch { return Batch{g.impl, g.impl.stage()} }

// Write is Conn.Write to the connection h, but p may be sent as late as Flush,
// and that it could not be is seen by Protocol.Closed then. p is copied.
func (b Batch) Write(h Handle, p []byte) error {
	if b.stage != nil {
		return b.stage.write(h, p)
	}
	return b.b.write(h, p)
}

// Flush sends what was written. It does not block.
func (b Batch) Flush() {
	if b.stage != nil {
		b.stage.flush()
	}
}

// Close flushes and ends the batch, which must not be used any more.
func (b Batch) Close() {
	if b.stage != nil {
		b.stage.done()
	}
}

package mcp

import "sync"

// A Batcher is a [Host] that writes to many connections at less cost than with
// Send for each.
type Batcher interface {
	// Batch returns a batch for the goroutine that asks.
	Batch() Batch
}

// A Batch writes to many connections. Until it is flushed whoever else wants to
// write to one of them, or to end it, waits: so who has sent in a batch flushes it
// before it waits for anything.
type Batch interface {
	// Send is Host.Send, but p may be sent as late as Flush; the error may say
	// less. p is copied.
	Send(to StreamID, p []byte) error
	Flush()
	Close() // flushes too; the last call
}

// outbox is the way to many clients, one after another: in batches if the host
// has them. close it before other goroutines get the processor for long.
type outbox struct {
	host  Host
	batch Batch // nil: the host has none
}

func (s *Server) outbox() outbox {
	o := outbox{host: s.o.Host}
	if b, ok := s.o.Host.(Batcher); ok {
		o.batch = b.Batch()
	}
	return o
}

func (o *outbox) send(to StreamID, p []byte) error {
	if o.batch != nil {
		return o.batch.Send(to, p)
	}
	return o.host.Send(to, p)
}

// flush sends everything. It is called before anything else is done that may
// write to a client or wait for who does.
func (o *outbox) flush() {
	if o.batch != nil {
		o.batch.Flush()
	}
}

// lock takes a lock under which others write to clients.
func (o *outbox) lock(mu *sync.Mutex) {
	if !mu.TryLock() {
		o.flush()
		mu.Lock()
	}
}

func (o *outbox) close() {
	if o.batch != nil {
		o.batch.Close()
	}
}

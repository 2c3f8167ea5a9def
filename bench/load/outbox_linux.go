package load

import "github.com/rookery-server/rookery/internal/uring"

const (
	// outboxMax is how many calls go to the kernel together; outboxLeast is how
	// many are worth it.
	outboxMax   = 32
	outboxLeast = 4
	outboxBytes = 32 << 10
)

// outbox keeps calls that are due together until all of them are written, so that
// they go to the kernel in few calls. It is empty whenever the worker waits.
type outbox struct {
	ring *uring.Ring // nil if there can be none
	open bool        // calls are being made
	list []uring.Send
	to   []int32 // clients, of each of list; none is in it twice
	buf  []byte
}

// newOutbox needs no ring: without one each call is written by itself.
func newOutbox() outbox {
	ring, err := uring.Open(outboxMax)
	if err != nil {
		return outbox{}
	}
	return outbox{ring: ring, list: make([]uring.Send, 0, outboxMax), to: make([]int32, 0, outboxMax), buf: make([]byte, 0, outboxBytes)}
}

func (o *outbox) close() {
	if o.ring != nil {
		o.ring.Close()
	}
}

// gather is send for a client that makes no further call before this one is
// answered. What is gathered is sent by dispense, before anything else is done
// with the client.
func (w *worker) gather(i int32, b []byte, now int64) {
	o := &w.outbox
	c := &w.clients[i]
	if !o.open || o.ring == nil || c.flying == 0 || c.is(keeping) || len(b) > outboxBytes/outboxMax {
		w.send(i, b, now)
		return
	}
	if len(o.list) == outboxMax || len(o.buf)+len(b) > cap(o.buf) {
		w.dispense()
	}
	at := len(o.buf)
	o.buf = append(o.buf, b...)
	o.list = append(o.list, uring.Send{FD: c.fd, P: o.buf[at:]})
	o.to = append(o.to, i)
}

// dispense sends what was gathered.
func (w *worker) dispense() {
	o := &w.outbox
	if len(o.list) < outboxLeast || !o.ring.Send(o.list) {
		for k := range o.list {
			o.list[k].Alone()
		}
	}
	for k := range o.list {
		w.sent(o.to[k], o.list[k].P, o.list[k].N)
	}
	clear(o.list)
	o.list, o.to, o.buf = o.list[:0], o.to[:0], o.buf[:0]
}

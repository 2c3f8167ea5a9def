package load

// list is the clients that may call, the one that has waited longest first.
type list struct{ first, last int32 }

func newList() list { return list{noOne, noOne} }

// push adds client i at the end, if it may call and is not there.
func (w *worker) push(i int32) {
	c := &w.clients[i]
	if c.state != up || c.flying > 0 || c.flags&(listed|idler|bursting) != 0 {
		return
	}
	c.flags |= listed
	c.prev, c.next = w.ready.last, noOne
	if w.ready.last == noOne {
		w.ready.first = i
	} else {
		w.clients[w.ready.last].next = i
	}
	w.ready.last = i
}

// pull takes client i out, if it is in.
func (w *worker) pull(i int32) {
	c := &w.clients[i]
	if !c.is(listed) {
		return
	}
	c.flags &^= listed
	if c.prev == noOne {
		w.ready.first = c.next
	} else {
		w.clients[c.prev].next = c.next
	}
	if c.next == noOne {
		w.ready.last = c.prev
	} else {
		w.clients[c.next].prev = c.prev
	}
	c.prev, c.next = noOne, noOne
}

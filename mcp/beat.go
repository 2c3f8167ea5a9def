package mcp

import "sync"

// This file keeps the responses of calls alive while their handlers take their
// time: a proxy takes a stream that has been silent for a minute for dead, and
// a user may take longer than that to answer.

// beating are the calls whose response has become a stream. The zero value is
// ready for use.
type beating struct {
	mu sync.Mutex
	m  map[*Call]struct{} // guarded by mu
}

func (t *beating) add(c *Call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.m == nil {
		t.m = make(map[*Call]struct{})
	}
	t.m[c] = struct{}{}
}

func (t *beating) remove(c *Call) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.m, c)
}

func (t *beating) all() []*Call {
	t.mu.Lock()
	defer t.mu.Unlock()
	calls := make([]*Call, 0, len(t.m))
	for c := range t.m {
		calls = append(calls, c)
	}
	return calls
}

// KeepCallsAlive writes a comment into the response of each running call that
// has become a stream and returns how many there were. Call it as often as
// open streams are kept alive. It takes a few microseconds a call; no lock is
// held in between.
func (s *Server) KeepCallsAlive() (beaten int) {
	for _, c := range s.beating.all() {
		if c.beat() {
			beaten++
		}
	}
	return beaten
}

// beat reports whether there was a stream to write to. An error is the
// handler's to meet when it has something to say.
func (c *Call) beat() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return false
	}
	k := &c.sink
	if k.post != nil {
		return k.post.beat(k)
	}
	x := k.http
	x.Out = appendComment(x.Out, !x.plain(), keepAliveText)
	return k.flush(&x.Out) == nil
}

// beat is Call.beat for a stream that can be taken up again. On the connection
// of a client that did it is the loop that keeps it alive.
func (p *postStream) beat(k *sink) bool {
	delivery := p.s.delivery(p.ref)
	delivery.Lock()
	defer delivery.Unlock()
	if p.cut {
		return false
	}
	x := k.http
	x.Out = appendComment(x.Out, !x.plain(), keepAliveText)
	if k.flush(&x.Out) != nil {
		p.cutOff(x)
		return false
	}
	return true
}

package server

import (
	"bytes"

	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/loop"
)

// batch runs the elements of a JSON-RPC array (section 6) in order and gathers
// their replies in one.
type batch struct {
	p    *lines
	conn loop.Conn
	w    *worker // nil on the loop
	out  *[]byte // Turn.Out or worker.out
	n    int     // replies so far
}

// batch sees to an array. Answers and cancellations in it are handled here and
// now; the rest runs on the loop only if every element may and none has to wait
// for earlier messages.
func (p *lines) batch(t *loop.Turn, line []byte) loop.Verdict {
	rest, inline := 0, !t.Busy
	err := codec.EachInBatch(line, &p.limits, func(elem []byte, env codec.Envelope, bad *codec.Error) bool {
		if bad == nil && p.now(t, elem, &env) {
			return true
		}
		rest++
		inline = inline && (bad != nil || p.inline(env.MethodName(elem)))
		return true
	})
	switch {
	case err != nil: // not after ParseEnvelope, but a reply is due in any case
		t.Out = appendErrorLine(t.Out, nil, err)
		return loop.Next
	case rest == 0:
		return loop.Next
	case inline:
		b := batch{p: p, conn: t.Conn, out: &t.Out}
		b.run(line)
		return loop.Next
	}
	return p.queue(t, &codec.Envelope{Kind: codec.KindBatch}, line, append(append(t.Record, byte(recordBatch)), line...))
}

// inline reports whether a method may run on the loop; unknown ones are
// answered there.
func (p *lines) inline(name []byte) bool {
	if m := p.s.methods.find(name); m != nil {
		return m.inline
	}
	known, inline := p.s.mcp.Knows(name)
	return inline || !known
}

// run runs the elements.
func (b *batch) run(msg []byte) { b.each(msg, b.element) }

// shed answers each request with "overloaded".
func (b *batch) shed(msg []byte) {
	b.each(msg, func(out, elem []byte, env *codec.Envelope) []byte {
		if env.Kind != codec.KindRequest {
			return out
		}
		return codec.AppendError(out, env.ID.Of(elem), errOverloaded)
	})
}

// each gathers what f appends for the elements that are messages, and errors
// for the others.
func (b *batch) each(msg []byte, f func(out, elem []byte, env *codec.Envelope) []byte) {
	// What EachInBatch itself may find wrong, the first pass has answered.
	_ = codec.EachInBatch(msg, &b.p.limits, func(elem []byte, env codec.Envelope, bad *codec.Error) bool {
		b.reply(func(out []byte) []byte {
			if bad != nil {
				b.p.s.metrics.malformedLines.Inc()
				return codec.AppendError(out, env.ID.Of(elem), bad)
			}
			return f(out, elem, &env)
		})
		return true
	})
	if b.n > 0 {
		*b.out = append(*b.out, "]\n"...)
	}
}

// reply adds what f appends, if anything, as one element.
func (b *batch) reply(f func(out []byte) []byte) {
	start := len(*b.out)
	open := byte(',')
	if b.n == 0 {
		open = '['
	}
	out := f(append(*b.out, open))
	if len(out) == start+1 {
		*b.out = out[:start]
		return
	}
	*b.out = out
	b.n++
}

// element runs one message and returns out with its reply.
func (b *batch) element(out, elem []byte, env *codec.Envelope) []byte {
	if env.Kind != codec.KindRequest && (env.Kind != codec.KindNotification || isCancellation(env.MethodName(elem))) {
		return out // seen to on the loop
	}
	s := b.p.s
	name := env.MethodName(elem)
	if m := s.methods.find(name); m != nil {
		c := s.call(b.conn, b.w, &out, requestID(elem, env), env.Params.Of(elem))
		c.batched = true
		s.run(m, c)
		return out
	}
	if changesWord(name) {
		return codec.AppendError(out, env.ID.Of(elem), errBatched)
	}
	if known, _ := s.mcp.Knows(name); known {
		scratch := s.buffers.Get().(*buffer)
		defer s.putBuffer(scratch)
		scratch.b = b.p.serveMCP(b.conn, b.w, scratch.b, elem, env)
		return appendElements(out, scratch.b)
	}
	if env.Kind == codec.KindRequest {
		s.metrics.unknownMethods.Inc()
		return codec.AppendError(out, env.ID.Of(elem), errNoMethod)
	}
	return out
}

// appendElements appends lines as elements of an array.
func appendElements(out, lines []byte) []byte {
	for i, line := range bytes.Split(bytes.TrimRight(lines, "\n"), newline) {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, line...)
	}
	return out
}

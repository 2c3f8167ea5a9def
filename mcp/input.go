package mcp

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"github.com/rookery-server/rookery/codec"
)

// This file asks clients of the era without sessions: a call that needs an
// answer it has not got ends with an InputRequiredResult, and the client calls
// again with params.inputResponses and the requestState it was given
// (SEP-2322).

// ErrInputRequired says that the call must end so that the client can answer
// a question, and then calls again: the handler returns it, wrapped or not. A
// handler that returns something else has decided to go on without the answer.
var ErrInputRequired = errors.New("mcp: the call needs input of the client first")

// talk is what a call has said to its client and knows of its answers. Few
// calls have one; Call.mu guards it.
type talk struct {
	kept    []reply // answers of earlier rounds or used in this, in the order of their use
	given   []byte  // params.inputResponses, nil if there are none
	pending []query // asked and not answered, each with a key
	asked   int     // questions without a key of their own

	moved    bool    // progress was sent
	progress float64 // the latest
}

// talking returns the talk of c. The caller holds c.mu.
func (c *Call) talking() *talk {
	if c.talk == nil {
		c.talk = new(talk)
	}
	return c.talk
}

// reply is the answer to one question; raw is an object of the request's memory.
type reply struct {
	key string
	raw []byte
}

func (in *talk) find(key string) []byte {
	for i := range in.kept {
		if in.kept[i].key == key {
			return in.kept[i].raw
		}
	}
	return nil
}

// resume takes up what earlier rounds of the call left in its requestState;
// state is raw JSON, nil if the request has none. name and args are what the
// call is about.
func (c *Call) resume(state, name, args []byte) error {
	if state == nil || !c.rev.modern() {
		return nil
	}
	token, ok := text(state)
	if !ok {
		return errBadState
	}
	kept, err := c.s.states.open(c.m.name, name, args, token)
	if err != nil {
		return errBadState
	}
	in := c.talking() // nobody else knows c yet
	for o := members(kept); ; {
		key, raw, more := o.next()
		if !more {
			return nil
		}
		in.kept = append(in.kept, reply{unescape(key), raw})
	}
}

// inputs returns the answers to all, or ErrInputRequired after it has noted
// which are missing. It does not block.
func (c *Call) inputs(all []query) ([][]byte, error) {
	if !c.m.input {
		return nil, ErrCannotAsk
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return nil, ErrCallOver
	}
	in := c.talking()
	if in.given == nil {
		in.given = member(c.params, "inputResponses")
		if in.given != nil && !isObject(in.given) {
			return nil, errBadResponses
		}
	}
	answers := make([][]byte, len(all))
	var missing error
	for i := range all {
		q := &all[i]
		if q.key == "" {
			in.asked++
			q.key = "input" + strconv.Itoa(in.asked)
		}
		raw, err := in.answer(q)
		if err != nil {
			return nil, err
		}
		if answers[i] = raw; raw == nil {
			missing = ErrInputRequired
		}
	}
	if missing != nil {
		return nil, missing
	}
	return answers, nil
}

// answer returns the client's answer to q, nil if q was put with those that are
// missing.
func (in *talk) answer(q *query) ([]byte, error) {
	if raw := in.find(q.key); raw != nil {
		return raw, nil
	}
	if raw := member(in.given, q.key); raw != nil {
		if !isObject(raw) {
			return nil, errBadResponses
		}
		in.kept = append(in.kept, reply{q.key, raw})
		return raw, nil
	}
	for i := range in.pending {
		p := &in.pending[i]
		if p.key != q.key {
			continue
		}
		if p.method != q.method || !bytes.Equal(p.params, q.params) {
			return nil, fmt.Errorf("mcp: two questions with the key %q", q.key)
		}
		return nil, nil // asked twice, answered once
	}
	in.pending = append(in.pending, *q)
	return nil, nil
}

// wantsInput reports whether the handler ended with err because a question of
// this call is open.
func (c *Call) wantsInput(err error) bool {
	if !errors.Is(err, ErrInputRequired) {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.talk != nil && len(c.talk.pending) > 0
}

// inputRequired leaves the InputRequiredResult of a call for which wantsInput
// is true. name and args are what resume is given in the next round.
func (c *Call) inputRequired(name, args []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	in := c.talk
	b := append(c.reply.b[:c.result], `{"resultType":"input_required","_meta":{"`+metaServerInfo+`":`...)
	b = append(append(b, c.s.info...), `},"inputRequests":{`...)
	for i := range in.pending {
		q := &in.pending[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = append(codec.AppendString(b, q.key), `:{"method":"`...)
		b = append(append(b, q.method...), `","params":`...)
		if q.params == nil {
			b = append(b, "{}"...)
		}
		b = append(append(b, q.params...), '}')
	}
	b = append(b, '}')

	kept := []byte{'{'}
	for i := range in.kept {
		if i > 0 {
			kept = append(kept, ',')
		}
		kept = append(codec.AppendString(kept, in.kept[i].key), ':')
		kept = append(kept, in.kept[i].raw...)
	}
	state, err := c.s.states.seal(c.m.name, name, args, append(kept, '}'))
	if err != nil {
		return err
	}
	b = append(appendKey(b, "requestState"), '"')
	b = append(append(b, state...), '"')
	c.close(b)
	return nil
}

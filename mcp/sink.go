package mcp

// Worker is the goroutine a handler runs on, as far as a handler that waits
// or streams needs it.
type Worker interface {
	// Leave takes the handler out of the count of workers because it will
	// wait; with release, later messages of the connection run meanwhile. The
	// error says that too many wait already.
	Leave(release bool) error
	// Return ends what Leave began.
	Return()
	// Flush writes out now, behind the connection's earlier replies, and
	// returns it emptied. The error says that the client is gone.
	Flush(out []byte) ([]byte, error)
}

// sink is where the messages of one call go: into the response of its HTTP
// exchange, which becomes a stream with the first of them, or onto its TCP
// connection. The call's lock guards it.
type sink struct {
	worker Worker // nil on the loop
	http   *Exchange
	tcp    *RPC
	post   *postStream // the stream of the response, if its client can take it up again

	canStream bool  // the HTTP response may become a stream
	streaming bool  // it is one
	detached  bool  // TCP: Out belongs to later messages; replies go through Host.Send
	waiting   int32 // handlers that wait for answers
}

// emit sends one message of the call, ahead of its reply.
func (k *sink) emit(c *Call, msg []byte) error {
	switch {
	case k.tcp != nil && k.detached:
		return c.s.o.Host.Send(k.tcp.Stream, append(msg, '\n'))
	case k.tcp != nil:
		k.tcp.Out = append(append(k.tcp.Out, msg...), '\n')
		return k.flush(&k.tcp.Out)
	case k.canStream:
		if !k.streaming {
			k.begin(c)
		}
		if k.post != nil {
			return k.post.emit(k, msg)
		}
		x := k.http
		x.Out = appendEvent(x.Out, !x.plain(), msg)
		return k.flush(&x.Out)
	case c.session != 0:
		// The response must be one JSON object: the session's own stream is
		// the only other way.
		n := newNotice(msg)
		defer n.release(c.s.o.Events)
		return c.s.sendToSession(c.session, n)
	}
	return ErrNoStream
}

// begin makes the response a stream.
func (k *sink) begin(c *Call) {
	x := k.http
	x.appendStreamHead()
	k.streaming = true
	if k.worker != nil {
		c.s.beating.add(c)
	}
	if k.post = c.s.openPost(c.session); k.post != nil && primes(c.rev) {
		x.Out = appendPriming(x.Out, !x.plain(), k.post.stream, k.post.number(), 0)
	}
}

// flush writes what out holds. On the loop it is left to the loop, which
// writes it when the turn is over.
func (k *sink) flush(out *[]byte) error {
	if k.worker == nil {
		return nil
	}
	var err error
	*out, err = k.worker.Flush(*out)
	return err
}

// leave makes way for others while the handler waits. On TCP the client's
// answer comes over this very connection, so its later messages must run.
func (k *sink) leave() error {
	if k.waiting > 0 {
		k.waiting++
		return nil
	}
	if k.tcp != nil && !k.detached {
		if err := k.flush(&k.tcp.Out); err != nil {
			return err
		}
	}
	if k.worker.Leave(k.tcp != nil) != nil {
		return errWaiting
	}
	k.detached = k.tcp != nil
	k.waiting = 1
	return nil
}

func (k *sink) comeBack() {
	if k.waiting--; k.waiting == 0 {
		k.worker.Return()
	}
}

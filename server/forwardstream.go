package server

import (
	"time"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/codec"
	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/mcp"
)

// This file is what becomes of a forwarded GET once its response stays open: it
// is kept alive here, ends with this server, and becomes an ordinary stream when
// the session comes home to its connection.

// attach makes the connection of an exchange, which is an open stream, that of
// a session that comes home: open lets mcp have it. It reports false if the
// connection is gone, or mcp would not; it ends then.
func (c *clustering) attach(token uint64, open func(st mcp.StreamID) (word uint64, ok bool)) bool {
	f := c.forwards.get(token)
	if f == nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.done != nil {
		return false
	}
	f.closed = true // as an exchange; the connection lives on
	c.settled(f)
	h := f.conn.Handle()
	word, ok := open(mcp.StreamID(h))
	if !ok {
		_ = f.conn.Write(f.appendEnd(nil, lostRetry)) // gone already: just as well
		f.conn.End(loop.ReasonDone)
		return false
	}
	if !c.web.ahead.reserve(f.conn) || !c.web.ahead.opened(h, word) {
		c.s.mcp.StreamClosed(mcp.StreamID(h), word) // Closed came too early to know
		return true
	}
	f.conn.SetWord(word)
	return true
}

const (
	// lostRetry is when the client of a stream whose home was lost shall come
	// back: its session has a new home at once, or its request is held.
	lostRetry = 100 * time.Millisecond
	// goodbyeRetry is when the clients of a server that stops shall come back.
	goodbyeRetry = time.Second

	keepAliveText = "keep-alive"
)

// keepAlive writes a comment on a stream whose home is elsewhere.
func (c *clustering) keepAlive(h ConnID) {
	for _, f := range c.forwards.of(h) {
		f.mu.Lock()
		if f.streaming && !f.cut && !f.closed {
			_ = f.conn.Write(f.appendFramed(nil, func(b []byte) []byte { return codec.AppendComment(b, keepAliveText) }))
		}
		f.mu.Unlock()
	}
}

// goodbye ends the exchanges of a connection that is about to be closed because
// the server stops, as their state allows.
func (c *clustering) goodbye(h ConnID) {
	for _, f := range c.forwards.of(h) {
		f.mu.Lock()
		switch {
		case f.closed || f.cut || f.done != nil:
		case f.streaming:
			_ = f.conn.Write(f.appendEnd(nil, goodbyeRetry))
		case !f.begun:
			f.mu.Unlock()
			if c.refuse(f.token, cluster.RefusedUnavailable) {
				c.core.ConnGone(f.token)
			}
			continue
		}
		f.mu.Unlock()
	}
}

// appendEnd appends the graceful end of a stream.
func (f *forward) appendEnd(dst []byte, retry time.Duration) []byte {
	dst = f.appendFramed(dst, func(b []byte) []byte { return codec.AppendRetry(b, retry) })
	if !f.plain {
		dst = codec.AppendLastChunk(dst)
	}
	return dst
}

// appendFramed appends what piece appends as a part of a stream.
func (f *forward) appendFramed(dst []byte, piece func([]byte) []byte) []byte {
	if f.plain {
		return piece(dst)
	}
	dst, mark := codec.BeginChunk(dst)
	return codec.EndChunk(piece(dst), mark)
}

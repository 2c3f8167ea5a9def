// Package corpus makes the messages of the comparisons between peer links: of
// about 128 bytes each, as a server sends them to its clients, every one with an
// id of its own, and always the same ones. It is a generator instead of a file
// so that no run is long enough to see a message twice: a compressor must not
// profit from a benchmark that goes round.
package corpus

import (
	"encoding/hex"
	"strconv"
)

// Seed starts the generator of New.
const Seed = 0x726f6f6b657279

// Sessions is how many sessions the messages go to.
const Sessions = 10_000

// Message is one message and the session it goes to.
type Message struct {
	Session [16]byte
	JSON    []byte
}

// Corpus makes messages. It is not safe for concurrent use.
type Corpus struct {
	state    uint64
	sessions [][16]byte
}

// New returns a corpus at its first message.
func New() *Corpus {
	c := &Corpus{state: Seed, sessions: make([][16]byte, Sessions)}
	for i := range c.sessions {
		c.sessions[i] = c.id()
	}
	return c
}

// SessionIDs returns the ids of all sessions. They belong to c.
func (c *Corpus) SessionIDs() [][16]byte { return c.sessions }

// Take returns the next n messages, in memory of their own.
func (c *Corpus) Take(n int) []Message {
	list := make([]Message, n)
	buf := make([]byte, 0, n*136)
	for i := range list {
		start := len(buf)
		list[i].Session = c.sessions[c.below(Sessions)]
		buf = c.appendJSON(buf)
		list[i].JSON = buf[start:len(buf):len(buf)]
	}
	return list
}

// appendJSON appends the next message: six of ten are log messages, three say
// that a resource changed, one reports progress.
func (c *Corpus) appendJSON(dst []byte) []byte {
	id := c.id()
	unique := id[:8]
	switch kind := c.below(10); {
	case kind < 6:
		dst = append(dst, `{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"`...)
		dst = append(dst, levels[c.below(uint64(len(levels)))]...)
		dst = append(dst, `","data":"`...)
		for range 4 {
			dst = append(dst, words[c.below(uint64(len(words)))]...)
			dst = append(dst, ' ')
		}
		dst = hex.AppendEncode(dst, unique)
		return append(dst, `"}}`...)
	case kind < 9:
		dst = append(dst, `{"jsonrpc":"2.0","method":"notifications/resources/updated","params":{"uri":"demo://`...)
		dst = append(dst, words[c.below(uint64(len(words)))]...)
		dst = append(dst, '/')
		dst = append(dst, words[c.below(uint64(len(words)))]...)
		dst = append(dst, '/')
		dst = hex.AppendEncode(dst, unique)
		return append(dst, `"}}`...)
	default:
		dst = append(dst, `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"`...)
		dst = hex.AppendEncode(dst, unique)
		dst = append(dst, `","progress":`...)
		dst = strconv.AppendUint(dst, c.below(1000), 10)
		return append(dst, `,"total":1000}}`...)
	}
}

// id returns 16 bytes that do not come again.
func (c *Corpus) id() (id [16]byte) {
	for i := range 2 {
		v := c.next()
		for j := range 8 {
			id[8*i+j] = byte(v >> (8 * j))
		}
	}
	return id
}

// below returns a number less than n. The bias does not matter here.
func (c *Corpus) below(n uint64) uint64 { return c.next() >> 32 * n >> 32 }

// next is splitmix64: it visits every value of 64 bits once.
func (c *Corpus) next() uint64 {
	c.state += 0x9e3779b97f4a7c15
	x := c.state
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

var levels = []string{"debug", "info", "info", "info", "notice", "warning", "error"}

var words = []string{
	"order", "invoice", "shipment", "customer", "inventory", "payment", "refund", "session", "device", "sensor",
	"gateway", "meter", "schedule", "booking", "ticket", "incident", "deploy", "build", "release", "branch",
	"review", "comment", "thread", "channel", "message", "document", "folder", "report", "dataset", "pipeline",
	"worker", "queue", "cache", "replica", "snapshot", "backup", "volume", "cluster", "region", "zone",
	"account", "profile", "policy", "secret", "token", "license", "quota", "budget", "alert", "metric",
	"changed", "created", "deleted", "updated", "delayed", "accepted", "rejected", "expired", "paused", "resumed",
	"started", "stopped", "failed", "done",
}

package mcp

import (
	"strconv"
	"time"
)

// CacheHint says how long a client of the era without sessions may take what
// it was told for current, and for whom (SEP-2549). The zero CacheHint means
// that it is stale at once and the same for everybody.
type CacheHint struct {
	TTL     time.Duration // counted in milliseconds
	Private bool          // not to be shared between users
}

// members returns h as members of a result, without a comma around.
func (h CacheHint) members() []byte {
	b := append([]byte(nil), `"ttlMs":`...)
	b = strconv.AppendInt(b, max(0, h.TTL.Milliseconds()), 10)
	if h.Private {
		return append(b, `,"cacheScope":"private"`...)
	}
	return append(b, `,"cacheScope":"public"`...)
}

// cacheable appends a hint to the result of a client that needs one.
func (c *Call) cacheable(b, hint []byte) []byte {
	if !c.rev.modern() {
		return b
	}
	return append(append(b, ','), hint...) // open never leaves a bare brace here
}

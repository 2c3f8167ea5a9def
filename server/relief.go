package server

import (
	"time"

	"github.com/rookery-server/rookery/memprof"
)

// relief decides when memory is given back to the system. After a burst the
// runtime keeps its garbage until a collection that a quiet server does not
// reach by itself for two minutes, and then returns the pages at one per cent
// of a processor. Rule: when the server has been quiet for reliefQuiet and the
// heap holds more than reliefBytes and a tenth of what is live in garbage and
// free pages, collect and return them now; at most once per reliefEvery. It
// takes two collections, because pools keep what they hold through one.
//
// A forced collection costs processor time in proportion to the live heap,
// 11 ms at 45 MB, which is why it is done in quiet times only. The bound on
// waste is low because one megabyte is 58 bytes for each of 18,000 idle clients.
type relief struct {
	events int64     // at the last look
	quiet  time.Time // since when; zero: not
	last   time.Time // of the last relief
}

const (
	reliefQuiet  = 2 * time.Second
	reliefEvery  = 5 * time.Second
	reliefBytes  = 512 << 10
	reliefEvents = 1000 // events a second that still count as quiet
)

// due is called once a second with a counter of things done so far.
func (r *relief) due(now time.Time, events int64, h memprof.Heap) bool {
	calm := events-r.events < reliefEvents
	r.events = events
	if !calm {
		r.quiet = time.Time{}
		return false
	}
	if r.quiet.IsZero() {
		r.quiet = now
	}
	if now.Sub(r.quiet) < reliefQuiet || now.Sub(r.last) < reliefEvery {
		return false
	}
	if waste := h.Objects - h.Live + h.Free; waste < max(reliefBytes, h.Live/10) {
		return false
	}
	r.last = now
	return true
}

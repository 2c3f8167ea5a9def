package cluster

import "time"

// A peer that was dead in our view may have been home of sessions that are at
// home here now, and what was published then waited in its link. Its clients have
// had that already, under numbers that come with its merges, or with those of
// others that were away: see amends. If such a publication came first, a client
// would hear it a second time. So until all who have returned have said that they
// have nothing more to bring, publications that somebody waits for are refused,
// and come again, and the others of such a peer are held back here, in their order.
//
// Held ones keep their credit, so the peer's window bounds them, and heldMax does
// in time: then they are spread as they are. Step uses it.
type heldBack struct{ of map[*Link][]heldOne }

// heldOne is a publication, or what a greeting says of those before it.
type heldOne struct {
	in incoming
	by time.Duration // it is held no longer
}

// heldMax is longer than it takes from the arrival of what waited in a link until
// its peer is alive in our view, and owes nothing.
const heldMax = owedMax + gatherMax

// holds reports whether what a peer publishes has to wait.
func (h *heldBack) holds(c *Core, l *Link, now time.Duration) bool {
	return l.died && (!l.alive.Load() || l.outdated(now) || c.owing())
}

// takes reports whether it has taken a publication into its care.
func (h *heldBack) takes(c *Core, in *incoming, now time.Duration) bool {
	if in.from == nil || in.acked || len(h.of[in.from]) == 0 && (in.began || !h.holds(c, in.from, now)) {
		return false
	}
	if h.of == nil {
		h.of = map[*Link][]heldOne{}
	}
	h.of[in.from] = append(h.of[in.from], heldOne{*in, now + heldMax})
	return true
}

// next returns one that has to wait no longer, if there is any.
func (h *heldBack) next(c *Core, now time.Duration) (in incoming, ok bool) {
	for _, l := range sortedLinks(h.of) {
		list := h.of[l]
		if now < list[0].by && h.holds(c, l, now) {
			continue
		}
		in = list[0].in
		list[0] = heldOne{}
		if h.of[l] = list[1:]; len(list) == 1 {
			delete(h.of, l)
		}
		return in, true
	}
	return in, false
}

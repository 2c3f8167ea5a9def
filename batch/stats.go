package batch

// LaneStats counts what went over a lane since the link was made. Bytes are
// those of messages with the lengths in front of them.
type LaneStats struct {
	Messages   uint64 // sent, those sent again included
	Frames     uint64
	Raw, Wire  uint64 // bytes sent, before and after compression
	Resent     uint64 // messages sent again after a reconnect
	Refused    uint64 // messages not taken because the lane was full
	Compressed uint64 // frames
	Skipped    uint64 // frames that were too small, or looked incompressible

	Received                  uint64 // messages processed
	ReceivedFrames            uint64
	ReceivedRaw, ReceivedWire uint64
	Duplicates                uint64 // messages dropped because they had been processed

	Pending, PendingBytes int    // not acknowledged now
	Outstanding           int    // of those, sent
	Credit                uint64 // bytes that may be sent now
}

// Stats is a copy of a link's counters.
type Stats struct {
	Lane      [Lanes]LaneStats
	Pure      uint64 // frames sent without messages
	Connects  uint64
	Checksums uint64 // frames received that were damaged
}

// Stats returns the counters.
func (l *Link) Stats() Stats {
	s := Stats{Lane: l.stats, Pure: l.pure, Connects: l.connects, Checksums: l.checksums}
	for lane := range Lanes {
		q, ls := &l.out[lane], &s.Lane[lane]
		ls.Pending, ls.PendingBytes = q.messages(), q.bytes()
		ls.Outstanding = int(q.sent.seq - q.acked.seq)
		if l.credit[lane] > q.sent.off {
			ls.Credit = l.credit[lane] - q.sent.off
		}
	}
	return s
}

package batch

// Link is one end of the protocol between two processes. It is not safe for
// concurrent use: its owner locks. No method blocks.
type Link struct {
	o         Options
	epochOut  uint64 // of frames we send
	epochIn   uint64 // of frames we take
	connected bool
	features  Features
	dataRun   int // data frames sent in a row while bulk waited

	out    [Lanes]queue
	judge  [Lanes]judge
	credit [Lanes]uint64 // what the peer lets us start, an offset

	in        [Lanes]mark // what the peer sent and we processed
	held      [Lanes]int  // bytes of it that the owner still keeps
	granted   [Lanes]uint64
	told      grants // as they went out last
	mustTell  bool
	scratch   []byte // decompressed messages
	stats     [Lanes]LaneStats
	pure      uint64
	connects  uint64
	checksums uint64
}

// NewLink returns a link that is not connected. Messages may be appended at
// once.
func NewLink(o Options) *Link {
	o = o.withDefaults()
	l := &Link{o: o, epochOut: Epoch(o.Local, o.Remote), epochIn: Epoch(o.Remote, o.Local)}
	for lane := range Lanes {
		l.grow(Lane(lane))
	}
	return l
}

// Append copies msg to the end of a lane and returns its sequence number; those
// of a lane count from 1. It fails with ErrFull when the lane holds Cap bytes
// that are not acknowledged, and with ErrTooLarge when msg is longer than
// MessageMax. An empty message is a message.
func (l *Link) Append(lane Lane, msg []byte) (seq uint64, err error) {
	return l.append(lane, msg, nil, l.o.Cap[lane])
}

// AppendJoin is Append for a message in two pieces.
func (l *Link) AppendJoin(lane Lane, head, body []byte) (seq uint64, err error) {
	return l.append(lane, head, body, l.o.Cap[lane])
}

// AppendMust is Append for messages whose number is bounded by their producer,
// such as replies: it goes beyond Cap, up to Hard, and then says ErrFull as well.
func (l *Link) AppendMust(lane Lane, msg []byte) (seq uint64, err error) {
	return l.append(lane, msg, nil, l.o.Hard[lane])
}

func (l *Link) append(lane Lane, head, body []byte, limit int) (uint64, error) {
	size := len(head) + len(body)
	if size > l.o.MessageMax {
		return 0, ErrTooLarge
	}
	q := &l.out[lane]
	if held := q.bytes(); held > 0 && held+prefixSize(size)+size > limit {
		l.stats[lane].Refused++
		return 0, ErrFull
	}
	return q.push(head, body, l.o.FrameMax), nil
}

// Acked returns the sequence number up to which the peer has processed the
// messages of a lane.
func (l *Link) Acked(lane Lane) uint64 { return l.out[lane].acked.seq }

// Sent returns the sequence number of the last message of a lane that was put
// into a frame of the present connection, or was acknowledged.
func (l *Link) Sent(lane Lane) uint64 { return l.out[lane].sent.seq }

// Pending returns how many messages of a lane are not acknowledged, and their
// bytes with the lengths in front of them.
func (l *Link) Pending(lane Lane) (messages, bytes int) {
	q := &l.out[lane]
	return q.messages(), q.bytes()
}

// Room returns how many bytes Append would still take on a lane, lengths
// included.
func (l *Link) Room(lane Lane) int { return max(0, l.o.Cap[lane]-l.out[lane].bytes()) }

// Processed returns the sequence number up to which this end has processed the
// messages of a lane.
func (l *Link) Processed(lane Lane) uint64 { return l.in[lane].seq }

// Connected reports whether frames may be sent and received.
func (l *Link) Connected() bool { return l.connected }

// Agreed returns the features that both ends offer, as of the last connection: none
// before the first.
func (l *Link) Agreed() Features { return l.features }

// Resume is what one end tells the other about a link when they connect.
type Resume struct {
	Version  uint8
	Features Features
	Received [Lanes]uint64 // messages up to this one are processed
	Credit   [Lanes]uint64 // a message may start before this offset
}

// Resume returns what the peer has to know to go on: for our Hello.
func (l *Link) Resume() Resume {
	g := l.grants()
	return Resume{Version: Version, Features: l.o.Features, Received: g.ack, Credit: g.credit}
}

// Connect starts a connection. r is the peer's Resume. Messages that the peer
// has not processed are sent again. ErrResume says that the link cannot go on:
// the two ends do not remember the same one; ErrVersion, that the peer speaks
// no version of ours. The link is then as it was, not connected.
func (l *Link) Connect(r Resume) error {
	l.connected = false
	if r.Version != Version {
		return ErrVersion
	}
	for lane := range Lanes {
		q := &l.out[lane]
		if r.Received[lane] < q.acked.seq || r.Received[lane] > q.sentMax || r.Credit[lane] < l.credit[lane] {
			return ErrResume
		}
	}
	for lane := range Lanes {
		q := &l.out[lane]
		q.ack(r.Received[lane])
		q.rewind()
		l.credit[lane] = r.Credit[lane]
	}
	l.features = l.o.Features.and(r.Features)
	l.mustTell = true // also what the peer has not heard because the last connection broke
	l.connected = true
	l.connects++
	return nil
}

// Disconnect ends the connection. Everything that is not acknowledged is kept
// for the next one.
func (l *Link) Disconnect() { l.connected = false }

// Hold says that n bytes of processed messages of a lane are kept by the owner:
// as long as they are, the peer gets no credit for them. For messages that are
// queued instead of being done with when f returns.
func (l *Link) Hold(lane Lane, n int) { l.held[lane] += n }

// Release says that n bytes that were held are not kept any more. There may be
// a frame to send then.
func (l *Link) Release(lane Lane, n int) { l.held[lane] = max(0, l.held[lane]-n) }

// grants returns what the peer may know now. Credit never shrinks.
func (l *Link) grants() grants {
	var g grants
	for lane := range Lanes {
		l.grow(Lane(lane))
		g.ack[lane] = l.in[lane].seq
		g.credit[lane] = l.granted[lane]
	}
	return g
}

// grow raises the credit of a lane to what its window allows.
func (l *Link) grow(lane Lane) {
	if room := l.o.Window[lane] - l.held[lane]; room > 0 {
		l.granted[lane] = max(l.granted[lane], l.in[lane].off+uint64(room))
	}
}

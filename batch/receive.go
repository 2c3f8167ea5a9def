package batch

import (
	"errors"
	"fmt"
	"hash/crc32"
	"sync"
)

// Need returns how many bytes have to be in p before Receive can take the next
// frame from it; p starts with a frame. It is never more than a header and the
// longest message, and a bare header's size as long as that is not there or is
// wrong, which Receive then says.
func (l *Link) Need(p []byte) int {
	var h header
	if len(p) < headerSize || h.parse(p, l.rawMax()) != nil {
		return headerSize
	}
	return headerSize + h.length
}

func (l *Link) rawMax() int { return max(l.o.MessageMax, frameMax) + prefixMax }

// Receive takes whole frames from p and calls f for each message that is new,
// in the order of its lane. It returns how many bytes it has taken; the caller
// keeps the rest and comes again with more.
//
// A message counts as processed when f has returned nil, and is acknowledged
// when its frame is through; msg is valid until f returns. f may call any method
// of l but Receive, Connect and Disconnect. An error, of f or of the protocol,
// ends the connection: what was not processed comes again on the next one.
func (l *Link) Receive(p []byte, f func(lane Lane, msg []byte) error) (n int, err error) {
	return l.ReceiveWith(noLock{}, p, f)
}

type noLock struct{}

func (noLock) Lock()   {}
func (noLock) Unlock() {}

// ReceiveWith is Receive for a link that mu guards: it is locked twice a frame,
// for a moment, but not while checksums are made, frames decompressed and
// messages handled. The caller does not hold mu, and calls neither this, Connect
// nor Disconnect meanwhile; f takes mu itself.
func (l *Link) ReceiveWith(mu sync.Locker, p []byte, f func(lane Lane, msg []byte) error) (n int, err error) {
	if !l.connected {
		return 0, ErrNotConnected
	}
	for len(p)-n >= headerSize {
		size, err := l.frame(mu, p[n:], f)
		if err != nil {
			mu.Lock()
			l.connected = false
			if errors.Is(err, ErrChecksum) {
				l.checksums++
			}
			mu.Unlock()
			return n, err
		}
		if size == 0 {
			break
		}
		n += size
	}
	return n, nil
}

// frame takes the frame at the start of p, 0 bytes if it is not whole.
func (l *Link) frame(mu sync.Locker, p []byte, f func(Lane, []byte) error) (int, error) {
	var h header
	if err := h.parse(p, l.rawMax()); err != nil {
		return 0, err
	}
	if h.epoch != l.epochIn {
		return 0, ErrEpoch
	}
	size := headerSize + h.length
	if len(p) < size {
		return 0, nil
	}
	body := p[headerSize:size]
	if crc32.Checksum(body, castagnoli) != h.checksum {
		return 0, fmt.Errorf("%w (payload)", ErrChecksum)
	}
	mu.Lock()
	in, body, err := l.accept(&h, body)
	mu.Unlock()
	if err != nil || h.count == 0 {
		return size, err
	}
	raw, err := l.unpack(&h, body)
	if err != nil {
		return 0, err
	}
	err = in.deliver(&h, raw, f)
	mu.Lock()
	defer mu.Unlock()
	l.processed(&h, &in)
	s := &l.stats[h.lane]
	s.ReceivedFrames++
	s.ReceivedRaw += uint64(len(raw))
	s.ReceivedWire += uint64(len(body))
	return size, err
}

// accept takes what stands in front of a frame's messages and returns where the
// lane is.
func (l *Link) accept(h *header, body []byte) (in incoming, messages []byte, err error) {
	if h.grants {
		if err := l.heed(body[:grantsSize]); err != nil {
			return in, nil, err
		}
		body = body[grantsSize:]
	}
	if h.count == 0 {
		return in, nil, nil
	}
	at := l.in[h.lane]
	if h.first > at.seq+1 {
		return in, nil, fmt.Errorf("%w: %d to %d on the %s lane", ErrSequence, at.seq+1, h.first-1, h.lane)
	}
	return incoming{mark: at, granted: l.granted[h.lane], messageMax: l.o.MessageMax}, body, nil
}

// incoming is where a lane is while the messages of a frame are handled.
type incoming struct {
	mark
	granted    uint64
	messageMax int
	duplicates uint64
}

// deliver hands the new messages among raw to f.
func (in *incoming) deliver(h *header, raw []byte, f func(Lane, []byte) error) error {
	for seq := h.first; seq < h.first+uint64(h.count); seq++ {
		msg, size := cut(raw)
		if size == 0 || len(msg) > in.messageMax {
			return fmt.Errorf("%w: message %d of the %s lane", ErrFrame, seq, h.lane)
		}
		raw = raw[size:]
		if seq <= in.seq {
			in.duplicates++
			continue
		}
		if in.off >= in.granted {
			return fmt.Errorf("%w on the %s lane", ErrCredit, h.lane)
		}
		if err := f(h.lane, msg); err != nil {
			return err
		}
		in.seq++
		in.off += uint64(size)
	}
	if len(raw) > 0 {
		return fmt.Errorf("%w: %d bytes behind the last message", ErrFrame, len(raw))
	}
	return nil
}

// processed notes what deliver did.
func (l *Link) processed(h *header, in *incoming) {
	s := &l.stats[h.lane]
	s.Received += in.seq - l.in[h.lane].seq
	s.Duplicates += in.duplicates
	l.in[h.lane] = in.mark
}

// heed takes what the peer acknowledges and grants. Older grants than those
// known are no error: a frame may have been on its way when a connection ended.
func (l *Link) heed(p []byte) error {
	var g grants
	g.parse(p)
	for lane := range Lanes {
		q := &l.out[lane]
		if g.ack[lane] > q.sentMax {
			return fmt.Errorf("%w: %d of %d on the %s lane", ErrAck, g.ack[lane], q.sentMax, Lane(lane))
		}
		q.ack(g.ack[lane])
		l.credit[lane] = max(l.credit[lane], g.credit[lane])
	}
	return nil
}

package mcp

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
)

// Audience says whom a publication is for.
type Audience uint8

// The audiences.
const (
	ToSessions    Audience = iota + 1 // every session that has or had a stream, as its level allows
	ToSubscribers                     // sessions and listen streams subscribed to Topic
	ToSession                         // one session, named beside the publication
)

// Publication is one notification on its way to many clients, or to one. Its
// slices and strings are not changed once it is on its way.
type Publication struct {
	Audience Audience
	Level    Level  // ToSessions: sessions that want only what is graver are left out; 0 none are
	Topic    string // ToSubscribers: the URI, at most 2048 bytes
	Method   string // at most 256 bytes
	Key      string // makes publishing it again harmless, "" does not; at most 256 bytes
	Params   []byte // a JSON object on one line, nil for none
}

// Bounds of the parts of a publication.
const (
	methodBytesMax = 256
	keyBytesMax    = 256
)

// ErrPublication says that a publication is malformed, or a part of it longer
// than allowed.
var ErrPublication = errors.New("mcp: malformed publication, or a part of it too long")

// check reports whether p can be sent. It looks at what could harm a stream's
// framing; that Params are JSON is its maker's promise.
func (p *Publication) check() error {
	if p.Audience < ToSessions || p.Audience > ToSession || p.Level > LevelEmergency || p.Method == "" ||
		len(p.Topic) > uriBytesMax || len(p.Method) > methodBytesMax || len(p.Key) > keyBytesMax {
		return ErrPublication
	}
	n := len(p.Params)
	if n != 0 && (n < 2 || p.Params[0] != '{' || p.Params[n-1] != '}') {
		return ErrPublication
	}
	for _, c := range p.Params {
		if c < ' ' {
			return ErrPublication
		}
	}
	return nil
}

// AppendPublication appends the form in which p travels between processes:
//
//	audience   1 byte
//	level      1 byte
//	topic      length as uvarint, bytes
//	method     likewise
//	key        likewise
//	params     the rest
func AppendPublication(dst []byte, p *Publication) []byte {
	dst = append(dst, byte(p.Audience), byte(p.Level))
	for _, s := range [...]string{p.Topic, p.Method, p.Key} {
		dst = append(binary.AppendUvarint(dst, uint64(len(s))), s...)
	}
	return append(dst, p.Params...)
}

// ParsePublication reads what AppendPublication wrote, the whole of b. Params
// are a part of b. The error is ErrPublication.
func ParsePublication(b []byte) (p Publication, err error) {
	if len(b) < 2 {
		return p, ErrPublication
	}
	p.Audience, p.Level = Audience(b[0]), Level(b[1])
	b = b[2:]
	for _, s := range [...]*string{&p.Topic, &p.Method, &p.Key} {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)-size) {
			return Publication{}, ErrPublication
		}
		b = b[size:]
		if n > uriBytesMax { // the longest of the bounds: nothing longer is copied
			return Publication{}, ErrPublication
		}
		*s, b = string(b[:n]), b[n:]
	}
	if len(b) > 0 {
		p.Params = b
	}
	if err := p.check(); err != nil {
		return Publication{}, err
	}
	return p, nil
}

// KeyOrigin returns the identity of the events of a publication that has a Key:
// the same whoever publishes it, so that a retry by way of another process
// meets the first attempt. ok is false without a Key. Origins drawn from
// random Peers meet these with a probability of 2^-64 a pair.
func (p *Publication) KeyOrigin() (o Origin, ok bool) {
	if p.Key == "" {
		return o, false
	}
	h := sha256.New()
	var n [8]byte
	for _, s := range [...]string{p.Topic, p.Method, p.Key} {
		binary.LittleEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	h.Write([]byte{byte(p.Audience)})
	sum := h.Sum(nil)
	return Origin{Peer: binary.LittleEndian.Uint64(sum), Seq: binary.LittleEndian.Uint64(sum[8:])}, true
}

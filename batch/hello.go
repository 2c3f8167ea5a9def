package batch

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// HelloMax bounds the bytes of a Hello or a Refusal.
const HelloMax = 1024

// nameMax bounds each name in a Hello, in bytes.
const nameMax = 255

// Hello is what each end says first on a connection. The end that dialled
// speaks first; the other one answers with its own Hello or with a Refusal.
type Hello struct {
	VersionMin, VersionMax uint8
	MessageMax             uint32 // the longest message, in bytes; the same on both ends
	Cluster                string // the label that keeps clusters apart
	Node                   string
	Worker                 uint16
	Incarnation            uint64
	// Whom the sender means to talk to.
	TargetNode        string
	TargetWorker      uint16
	TargetIncarnation uint64
	// Resume is how far the link got. Its Version is not on the wire: Agree sets it.
	Resume Resume
}

// Hello returns the Hello of this end, with what the link knows filled in: the
// caller adds cluster, names and workers.
func (l *Link) Hello() Hello {
	return Hello{
		VersionMin: Version, VersionMax: Version,
		MessageMax:  uint32(l.o.MessageMax),
		Incarnation: l.o.Local, TargetIncarnation: l.o.Remote,
		Resume: l.Resume(),
	}
}

// Parts of a Hello; SPEC.md has the table.
const (
	helloMagic   = "RKYH"
	helloPrefix  = 8 // magic, size, kind, zero
	helloKind    = 1
	refusalKind  = 2
	helloFixed   = 2 + 2 + 4 + 8 + 2 + 8 + 8 + 16*Lanes
	checksumSize = 4
)

// AppendHello appends h to dst. Names longer than 255 bytes are an error.
func AppendHello(dst []byte, h *Hello) ([]byte, error) {
	for _, name := range []string{h.Cluster, h.Node, h.TargetNode} {
		if len(name) > nameMax {
			return dst, fmt.Errorf("batch: name of %d bytes, at most %d", len(name), nameMax)
		}
	}
	base := len(dst)
	dst = appendPrefix(dst, helloKind)
	dst = append(dst, h.VersionMin, h.VersionMax)
	dst = binary.LittleEndian.AppendUint16(dst, h.Worker)
	dst = binary.LittleEndian.AppendUint32(dst, h.MessageMax)
	dst = binary.LittleEndian.AppendUint64(dst, h.Incarnation)
	dst = binary.LittleEndian.AppendUint16(dst, h.TargetWorker)
	dst = binary.LittleEndian.AppendUint64(dst, h.TargetIncarnation)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(h.Resume.Features))
	for lane := range Lanes {
		dst = binary.LittleEndian.AppendUint64(dst, h.Resume.Received[lane])
		dst = binary.LittleEndian.AppendUint64(dst, h.Resume.Credit[lane])
	}
	for _, name := range []string{h.Cluster, h.Node, h.TargetNode} {
		dst = append(dst, byte(len(name)))
		dst = append(dst, name...)
	}
	return appendChecksum(dst, base), nil
}

func appendPrefix(dst []byte, kind byte) []byte {
	dst = append(dst, helloMagic...)
	return append(dst, 0, 0, kind, 0) // the size comes with the checksum
}

func appendChecksum(dst []byte, base int) []byte {
	binary.LittleEndian.PutUint16(dst[base+4:], uint16(len(dst)-base+checksumSize))
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[base:], castagnoli))
}

// ParseHello reads the Hello at the start of p and returns how many bytes it
// takes; frames may follow. ErrIncomplete asks for more bytes, at most HelloMax
// in all. If the other end refuses us, err is its *Refusal. Other errors end the
// connection.
func ParseHello(p []byte) (h Hello, n int, err error) {
	if len(p) < helloPrefix {
		if m := min(len(p), len(helloMagic)); string(p[:m]) != helloMagic[:m] {
			return h, 0, fmt.Errorf("%w: no Hello", ErrFrame)
		}
		return h, 0, ErrIncomplete
	}
	n = int(binary.LittleEndian.Uint16(p[4:]))
	switch {
	case string(p[:len(helloMagic)]) != helloMagic:
		return h, 0, fmt.Errorf("%w: no Hello", ErrFrame)
	case n < helloPrefix+checksumSize || n > HelloMax:
		return h, 0, fmt.Errorf("%w: Hello of %d bytes", ErrFrame, n)
	case len(p) < n:
		return h, 0, ErrIncomplete
	}
	body := p[:n-checksumSize]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(p[len(body):]) {
		return h, 0, fmt.Errorf("%w (Hello)", ErrChecksum)
	}
	kind := body[6]
	body = body[helloPrefix:]
	switch kind {
	case helloKind:
		err = h.parse(body)
	case refusalKind:
		err = parseRefusal(body)
	default:
		err = fmt.Errorf("%w: Hello of kind %d", ErrFrame, kind)
	}
	return h, n, err
}

// parse reads the fields of a Hello. What follows them is for later versions.
func (h *Hello) parse(p []byte) error {
	if len(p) < helloFixed {
		return fmt.Errorf("%w: short Hello", ErrFrame)
	}
	h.VersionMin, h.VersionMax = p[0], p[1]
	h.Worker = binary.LittleEndian.Uint16(p[2:])
	h.MessageMax = binary.LittleEndian.Uint32(p[4:])
	h.Incarnation = binary.LittleEndian.Uint64(p[8:])
	h.TargetWorker = binary.LittleEndian.Uint16(p[16:])
	h.TargetIncarnation = binary.LittleEndian.Uint64(p[18:])
	h.Resume.Features = Features(binary.LittleEndian.Uint64(p[26:]))
	for lane := range Lanes {
		h.Resume.Received[lane] = binary.LittleEndian.Uint64(p[34+16*lane:])
		h.Resume.Credit[lane] = binary.LittleEndian.Uint64(p[42+16*lane:])
	}
	p = p[helloFixed:]
	for _, name := range []*string{&h.Cluster, &h.Node, &h.TargetNode} {
		if len(p) == 0 || len(p) < 1+int(p[0]) {
			return fmt.Errorf("%w: short Hello", ErrFrame)
		}
		*name = string(p[1 : 1+int(p[0])])
		p = p[1+int(p[0]):]
	}
	return nil
}

// Agree compares the two Hellos of a connection and returns the Resume for
// Connect. It judges for the end whose Hello is local; both ends do. If the two
// cannot talk, err is a *Refusal, to be sent to the other end and logged.
func Agree(local, remote *Hello) (Resume, error) {
	switch {
	case remote.Cluster != local.Cluster:
		return Resume{}, refusef(RefusedCluster, "this is cluster %q, not %q", local.Cluster, remote.Cluster)
	case remote.Incarnation == local.Incarnation:
		return Resume{}, refusef(RefusedSelf, "%s is connected to itself", local.Node)
	case remote.TargetNode != local.Node || remote.TargetWorker != local.Worker || remote.TargetIncarnation != local.Incarnation:
		return Resume{}, refusef(RefusedTarget, "this is %s, worker %d, incarnation %x; not %s, worker %d, incarnation %x",
			local.Node, local.Worker, local.Incarnation, remote.TargetNode, remote.TargetWorker, remote.TargetIncarnation)
	case remote.VersionMin > local.VersionMax || remote.VersionMax < local.VersionMin:
		return Resume{}, refusef(RefusedVersion, "versions %d to %d here, %d to %d there",
			local.VersionMin, local.VersionMax, remote.VersionMin, remote.VersionMax)
	case remote.MessageMax != local.MessageMax:
		return Resume{}, refusef(RefusedLimits, "messages of up to %d bytes here, %d there", local.MessageMax, remote.MessageMax)
	}
	r := remote.Resume
	r.Version = min(local.VersionMax, remote.VersionMax)
	r.Features = r.Features.and(local.Resume.Features)
	return r, nil
}

package bench

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"

	"github.com/rookery-server/rookery/bench/wire"
)

// lineMax bounds a line that a server may make us keep.
const lineMax = 64 << 10

// lineTalk is the handshake of a client that speaks lines: one request, one
// reply. With a verifier the request is an echo; without it is initialize,
// and the notification that ends it follows.
type lineTalk struct {
	opening *opening
	verify  verifier
}

func (l *lineTalk) tag(k *conn) string { return "hello " + strconv.Itoa(k.number) }

func (l *lineTalk) connected(k *conn) error {
	message := initializeCall(k.number, capsNone)
	if l.verify != nil {
		message = echoCall(k.number, "echo", l.tag(k))
	}
	k.send(append(message, '\n'))
	return nil
}

func (l *lineTalk) received(k *conn, in []byte) (int, error) {
	line, ok, err := firstLine(in)
	if err != nil || !ok {
		return 0, err
	}
	if l.verify != nil {
		err = l.verify(line, k.number, l.tag(k))
	} else if _, err = verifyInitialize(line, k.number); err == nil {
		k.send([]byte(initializedNote + "\n"))
	}
	if err != nil {
		return 0, err
	}
	l.opening.settle(k, idle{})
	return len(in), nil
}

func (l *lineTalk) closed(_ *conn, why error) error { return endedEarly(why) }

// firstLine returns the first line of in without its newline.
func firstLine(in []byte) (line []byte, ok bool, err error) {
	end := bytes.IndexByte(in, '\n')
	if end < 0 && len(in) > lineMax {
		return nil, false, fmt.Errorf("a line of more than %d bytes", lineMax)
	}
	if end < 0 {
		return nil, false, nil
	}
	return in[:end], true, nil
}

// streamTalk opens an event stream. With first it waits for the stream's
// first message and checks it; without, the head is enough.
type streamTalk struct {
	opening  *opening
	request  []byte
	first    func(message []byte) error
	response wire.Response
}

func (s *streamTalk) connected(k *conn) error {
	k.send(s.request)
	s.request = nil
	return nil
}

func (s *streamTalk) received(k *conn, in []byte) (int, error) {
	n, err := s.response.Feed(in)
	if err != nil || !s.response.Head {
		return n, err
	}
	r := &s.response
	if r.Status != http.StatusOK || !r.Events || r.Done {
		return n, fmt.Errorf("HTTP status %d and no open event stream: %s", r.Status, wire.Clip(bytes.TrimSpace(r.Body)))
	}
	if s.first != nil {
		heard := false
		for message := range wire.EventData(r.Body) {
			if err := s.first(message); err != nil {
				return n, err
			}
			heard = true
			break
		}
		if !heard {
			return n, nil
		}
	}
	s.opening.settle(k, idle{})
	return len(in), nil
}

func (s *streamTalk) closed(_ *conn, why error) error { return endedEarly(why) }

func endedEarly(why error) error {
	return fmt.Errorf("the server ended the connection during its handshake: %w", why)
}

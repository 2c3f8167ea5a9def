package load

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/rookery-server/rookery/bench/wire"
)

// expected is what an answer has to say.
type expected struct {
	id   uint32
	text []byte // nil: any result that is no error
}

// A shape recognises answers that differ from an earlier good one in their id
// and text only, so that every answer is compared byte by byte and hardly any
// is decoded.
type shape struct {
	parts [][]byte // what stands before, between and after the fields
	field []byte   // fieldID or fieldText: what stands behind each part but the last
}

const (
	fieldID   = 'i'
	fieldText = 't'
)

// textTelling is the length from which a text cannot be in an answer by chance.
const textTelling = 8

// matches reports whether message is the shape with e in its fields.
func (s *shape) matches(message []byte, e expected) bool {
	if s.parts == nil {
		return false
	}
	var room [20]byte
	id := strconv.AppendUint(room[:0], uint64(e.id), 10)
	for i, part := range s.parts {
		if !bytes.HasPrefix(message, part) {
			return false
		}
		message = message[len(part):]
		if i == len(s.field) {
			break
		}
		want := id
		if s.field[i] == fieldText {
			want = e.text
		}
		if !bytes.HasPrefix(message, want) {
			return false
		}
		message = message[len(want):]
	}
	return len(message) == 0
}

// learn makes message, which was decoded and found to be as e says, the shape.
// A message in which the fields cannot be told for sure is no shape.
func (s *shape) learn(message []byte, e expected) {
	s.parts, s.field = nil, nil
	if e.text != nil && len(e.text) < textTelling {
		return
	}
	mark := []byte(`"id":` + strconv.FormatUint(uint64(e.id), 10))
	message = bytes.Clone(message)
	ids := 0
	for rest := message; ; {
		at, kind, length := len(rest), byte(0), 0
		if i := bytes.Index(rest, mark); i >= 0 {
			at, kind, length = i+len(`"id":`), fieldID, len(mark)-len(`"id":`)
		}
		if e.text != nil {
			if i := bytes.Index(rest, e.text); i >= 0 && i < at {
				at, kind, length = i, fieldText, len(e.text)
			}
		}
		s.parts = append(s.parts, rest[:at])
		if kind == 0 {
			break
		}
		if kind == fieldID {
			ids++
		}
		s.field = append(s.field, kind)
		rest = rest[at+length:]
	}
	if ids != 1 {
		s.parts, s.field = nil, nil
	}
}

// A checker verifies one kind of answers.
type checker struct {
	shape   shape
	content func(result json.RawMessage, text []byte) error
}

// check returns nil for the answer that e describes, a *wire.Fault for one that
// is a refusal, and another error for what it must not be.
func (c *checker) check(message []byte, e expected) error {
	if c.shape.matches(message, e) {
		return nil
	}
	m, err := wire.ParseReply(message, int(e.id))
	if err != nil {
		return err
	}
	if err := c.content(m.Result, e.text); err != nil {
		return err
	}
	c.shape.learn(message, e)
	return nil
}

// echoed wants the params of an echo call.
func echoed(result json.RawMessage, text []byte) error {
	var said []string
	if err := json.Unmarshal(result, &said); err != nil || len(said) != 1 || said[0] != string(text) {
		return fmt.Errorf("the result %q is not the text %q", wire.Clip(result), wire.Clip(text))
	}
	return nil
}

// toolEchoed wants text as the content of a tool's result; nil: any.
func toolEchoed(result json.RawMessage, text []byte) error {
	var r struct {
		IsError bool `json:"isError"`
		Content []struct{ Type, Text string }
	}
	if err := json.Unmarshal(result, &r); err != nil {
		return fmt.Errorf("the result %q is not a tool's: %w", wire.Clip(result), err)
	}
	if r.IsError {
		return &wire.Fault{Message: "the tool failed: " + string(wire.Clip(result))}
	}
	if text != nil && (len(r.Content) != 1 || r.Content[0].Type != "text" || r.Content[0].Text != string(text)) {
		return fmt.Errorf("the result %q is not the text %q", wire.Clip(result), wire.Clip(text))
	}
	return nil
}

// anything takes every result.
func anything(json.RawMessage, []byte) error { return nil }

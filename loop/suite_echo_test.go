package loop_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rookery-server/rookery/loop"
)

func TestEcho(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		closed, onClosed := ends(1)
		g, addr := newGroup(t, portable, loop.Options{}, &proto{step: echoLine, closed: onClosed})
		c := dial(t, addr)
		for i := range 100 {
			s := fmt.Sprintf("line %d\n", i)
			c.send(s)
			c.expect(s)
		}
		c.closeWrite()
		if got := c.rest(); got != "" {
			t.Errorf("behind the last answer: %q", got)
		}
		if e := recv(t, closed); e.r != loop.ReasonPeerClosed {
			t.Errorf("closed for %v", e.r)
		}
		if s := g.Stats(); s.Messages != 100 || s.Open != 0 {
			t.Errorf("messages %d, open %d", s.Messages, s.Open)
		}
	})
}

func TestEchoThroughWorker(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		_, addr := newGroup(t, portable, loop.Options{}, &proto{step: workLine, work: echoRecord})
		c := dial(t, addr)
		for i := range 100 {
			s := fmt.Sprintf("line %d\n", i)
			c.send(s)
			c.expect(s)
		}
	})
}

func TestMessageByteByByte(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		_, addr := newGroup(t, portable, loop.Options{}, &proto{step: echoLine})
		c := dial(t, addr)
		for _, b := range "one\ntwo\n" {
			c.send(string(b))
		}
		c.expect("one\ntwo\n")
	})
}

func TestPipelining(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		for _, p := range []*proto{{step: echoLine}, {step: workLine, work: echoRecord}} {
			_, addr := newGroup(t, portable, loop.Options{}, p)
			c := dial(t, addr)
			var all strings.Builder
			for i := range 5000 {
				fmt.Fprintf(&all, "message number %d\n", i)
			}
			go c.send(all.String())
			c.expect(all.String())
		}
	})
}

package fleet

import (
	"bytes"
	"testing"
)

// TestPage: what one mapping writes another reads.
func TestPage(t *testing.T) {
	p, f, err := newPage(3)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	other, err := openPage(f, 3)
	if err != nil {
		t.Fatal(err)
	}
	a := p.Share(0)
	a.Accepting(true)
	a.Add(7)
	if other.Open(0) != 7 || !other.Accepting(0) || other.Open(1) != 0 {
		t.Errorf("the other sees %d connections, accepting %v", other.Open(0), other.Accepting(0))
	}
	if s := p.secret(); !bytes.Equal(s, other.secret()) || bytes.Equal(s, make([]byte, secretSize)) {
		t.Errorf("secrets %x and %x", s, other.secret())
	}
	other.Reset(0)
	if p.Open(0) != 0 || p.Accepting(0) {
		t.Error("the row is not cleared")
	}
}

// TestShareWaits only for siblings that accept and hold clearly fewer.
func TestShareWaits(t *testing.T) {
	p, f, err := newPage(3)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a, b, c := p.Share(0), p.Share(1), p.Share(2)
	wait := func(when string, want bool) {
		t.Helper()
		if got := a.Wait() > 0; got != want {
			t.Errorf("%s: waits %v, want %v", when, got, want)
		}
	}
	a.Accepting(true)
	a.Add(slackMin + 1)
	wait("nobody else accepts", false)
	b.Accepting(true)
	wait("a sibling holds fewer", true)
	b.Add(1)
	wait("a sibling holds about as many", false)
	c.Accepting(true)
	wait("another one holds fewer", true)
	c.Accepting(false)
	wait("but is full", false)
	a.Add(100 * slackPart)
	b.Add(100*slackPart - 90)
	wait("the slack grows with the number", false)
	b.Add(-30)
	wait("but not for ever", true)
}

// TestShareLast: the last that accepts knows it, when the node ends.
func TestShareLast(t *testing.T) {
	p, f, err := newPage(3)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	other, err := openPage(f, 3)
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := p.Share(0), other.Share(1), other.Share(2)
	last := func(when string, want bool) {
		t.Helper()
		if got := a.Last(); got != want {
			t.Errorf("%s: last %v, want %v", when, got, want)
		}
	}
	for _, s := range []*Share{a, b, c} {
		s.Accepting(true)
	}
	last("all accept", false)
	b.Accepting(false)
	c.Accepting(false)
	last("the others are full", false)
	secret := p.secret()
	other.End()
	last("the node ends", true)
	if !bytes.Equal(secret, p.secret()) {
		t.Error("the end has changed the secret")
	}
	c.Accepting(true)
	last("one accepts again", false)
	p.Reset(2)
	last("and is gone", true)
}

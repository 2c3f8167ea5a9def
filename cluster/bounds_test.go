package cluster

import (
	"errors"
	"testing"

	"github.com/rookery-server/rookery/batch"
)

// TestFetchesAreBounded: one more than may wait is refused and counted, and
// there is room again when they have ended.
func TestFetchesAreBounded(t *testing.T) {
	c, _, _ := strangers()
	c.mu.Lock()
	c.fetches.n = fetchesMax
	c.mu.Unlock()
	f := c.startFetch(ID{9})
	<-f.done
	if !errors.Is(f.err, ErrUnavailable) || c.Stats().NoRoom != 1 {
		t.Errorf("%v, %d counted", f.err, c.Stats().NoRoom)
	}
	c.fetches.n = 0
	f = c.startFetch(ID{1}) // at home here
	<-f.done
	if f.ref == 0 || c.fetches.n != 0 {
		t.Errorf("ref %d, error %v, %d left", f.ref, f.err, c.fetches.n)
	}
}

// TestJobsOfPeersAreBounded: what a peer has Step do takes its credit until it
// is done.
func TestJobsOfPeersAreBounded(t *testing.T) {
	c, l, _ := strangers()
	other := batch.NewLink(batch.Options{Local: 2, Remote: 1})
	if err := errors.Join(other.Connect(l.Resume()), l.Connect(other.Resume())); err != nil {
		t.Fatal(err)
	}
	const sent = 1 << 19 // more than the window holds
	for range sent {
		if _, err := other.Append(batch.Data, append(appendID(nil, kindKept, ID{9}), 1)); err != nil {
			t.Fatal(err)
		}
	}
	talk := func() {
		for {
			b := other.NextFrame(nil)
			back := l.NextFrame(nil)
			if len(b)+len(back) == 0 {
				return
			}
			if _, err := l.Receive(b); err != nil {
				t.Fatal(err)
			}
			if _, err := other.Receive(back, func(batch.Lane, []byte) error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
	}
	talk()
	most := len(c.jobs)
	for done := 0; done < sent; talk() {
		if len(c.jobs) == 0 {
			t.Fatalf("nothing comes after %d", done)
		}
		most, done = max(most, len(c.jobs)), done+len(c.jobs)
		c.runJobs()
	}
	if most > sent/2 {
		t.Errorf("%d of %d jobs at once", most, sent)
	}
}

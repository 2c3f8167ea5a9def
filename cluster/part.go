package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// This file is how a process goes in the ordinary way: no request that another
// peer has sent it is lost, or served twice. It says kindLeaving on each link,
// behind kindAt of every request that it has taken. Whoever hears that knows of
// each request of its own whether it was taken, and takes the others elsewhere;
// then the process finishes what it has, and ends once the answers have arrived.

// parting is the state of it.
type parting struct {
	on      bool           // guarded by Core.mu
	serving sync.WaitGroup // requests that were taken and are being given to the Store
}

// StopServing has this process take no more requests of other peers: they are
// told to go elsewhere. It returns when those taken before are the Store's. There
// is no way back.
func (c *Core) StopServing() {
	c.mu.Lock()
	if !c.parting.on {
		c.parting.on = true
		for _, l := range c.liveLinks() {
			c.sayLeaving(l)
		}
	}
	c.mu.Unlock()
	c.parting.serving.Wait()
}

// sayLeaving tells one peer. Core.mu is held.
func (c *Core) sayLeaving(l *Link) {
	if l.must(batch.Control, []byte{kindLeaving}) != nil {
		c.count.lostReplies.Add(1) // it is told of each request
	}
}

// takes reports whether this process serves a request of a peer, which is told
// so. Whoever gets true calls parting.serving.Done.
func (c *Core) takes(from *Link, num uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.parting.on {
		return false
	}
	c.parting.serving.Add(1)
	c.tellAt(from, num, c.o.Self.Incarnation)
	return true
}

// leaving: the peer has said of all requests that it has taken that it has.
func (in *inbound) leaving(r *reader, _ batch.Lane) error {
	if err := r.end(); err != nil {
		return err
	}
	c, l := in.l.core, in.l
	c.mu.Lock()
	defer c.mu.Unlock()
	l.leaving.Store(true)
	for _, rt := range c.routes.byNum {
		if rt.at == l {
			c.notTakenBy(rt, l)
		}
	}
	return nil
}

// notTakenBy has a request taken elsewhere that l, which takes none any more, has
// not taken. Core.mu is held.
func (c *Core) notTakenBy(r *route, l *Link) {
	if r.msg == nil || r.taken {
		return
	}
	now := c.o.Now()
	r.at, r.via, r.retryAt, r.giveUp = nil, nil, now, 0
	r.deadline = max(r.deadline, now+c.o.HoldTimeout)
	c.wakeUp()
}

// Flush returns when every peer that is alive has processed what was sent to it
// before, or with ctx's error. What is being copied in bulk is not waited for.
func (e *Engine) Flush(ctx context.Context) error {
	c := e.core
	c.mu.Lock()
	links := c.liveLinks()
	c.mu.Unlock()
	marks := make([]laneMark, len(links))
	for i, l := range links {
		marks[i] = l.laneMark()
	}
	tick := time.NewTicker(stepEvery / 4)
	defer tick.Stop()
	for i := range links {
		for links[i].alive.Load() && !links[i].passed(marks[i]) {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-tick.C:
			}
		}
	}
	return nil
}

// laneMark is a point in what was sent on two lanes of a link.
type laneMark struct {
	life          uint32
	control, data uint64
}

func (l *Link) laneMark() laneMark {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endRun()
	return laneMark{l.life, l.appended[batch.Control], l.appended[batch.Data]}
}

// passed reports whether the peer has processed everything before m, or lost it.
func (l *Link) passed(m laneMark) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return m.life != l.life || l.m.Acked(batch.Control) >= m.control && l.m.Acked(batch.Data) >= m.data
}

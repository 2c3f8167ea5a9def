package loop_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rookery-server/rookery/loop"
)

// TestWriteFromAnywhere: writes of many goroutines arrive whole, each
// goroutine's in its order, whether the kernel takes them at once or not.
func TestWriteFromAnywhere(t *testing.T) {
	const writers, writes = 8, 300
	each(t, func(t *testing.T, portable bool) {
		p, conns := opened(echoLine)
		o := loop.Options{OutHigh: 32 << 20, OutMax: 64 << 20}
		_, addr := newGroup(t, portable, o, p)
		c := dialSmall(t, addr)
		s := recv(t, conns)
		var all sync.WaitGroup
		for w := range writers {
			all.Go(func() {
				for i := range writes {
					// A frame: writer, number, length, then that many bytes
					// that name the writer.
					n := 1 + (i*i*31)%8000
					f := binary.BigEndian.AppendUint32([]byte{byte(w)}, uint32(i))
					f = binary.BigEndian.AppendUint16(f, uint16(n))
					f = append(f, bytes.Repeat([]byte{byte(w)}, n)...)
					if err := s.Write(f); err != nil {
						t.Errorf("writer %d: %v", w, err)
						return
					}
				}
			})
		}
		var next [writers]uint32
		head, body := make([]byte, 7), make([]byte, 8001)
		for range writers * writes {
			if _, err := io.ReadFull(c.in, head); err != nil {
				t.Fatal(err)
			}
			w, i, n := head[0], binary.BigEndian.Uint32(head[1:]), binary.BigEndian.Uint16(head[5:])
			if int(w) >= writers || i != next[w] {
				t.Fatalf("frame %d of writer %d, want %d", i, w, next[w])
			}
			next[w]++
			if _, err := io.ReadFull(c.in, body[:n]); err != nil {
				t.Fatal(err)
			}
			if bytes.Count(body[:n], []byte{w}) != int(n) {
				t.Fatalf("frame %d of writer %d is mixed with another", i, w)
			}
		}
		all.Wait()
	})
}

// TestClosedConn: every verb on a closed connection is harmless and says so.
func TestClosedConn(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		closed, onClosed := ends(1)
		p, conns := opened(echoLine)
		p.closed = onClosed
		g, addr := newGroup(t, portable, loop.Options{}, p)
		c := dial(t, addr)
		s := recv(t, conns)
		if got := g.Conn(s.Handle()).RemoteAddr().String(); got != c.LocalAddr().String() {
			t.Errorf("remote address %s, want %s", got, c.LocalAddr())
		}
		s.SetWord(42)
		s.Close(loop.ReasonApplication)
		c.expectGone()
		e := recv(t, closed)
		if e.h != s.Handle() || e.word != 42 || e.r != loop.ReasonApplication {
			t.Errorf("closed with %+v", e)
		}
		for _, x := range []loop.Conn{s, g.Conn(s.Handle()), g.Conn(0), g.Conn(^loop.Handle(0)), {}} {
			if err := x.Write([]byte("x")); !errors.Is(err, loop.ErrClosed) {
				t.Errorf("%x: write: %v", x.Handle(), err)
			}
			if err := x.Write(nil); !errors.Is(err, loop.ErrClosed) {
				t.Errorf("%x: empty write: %v", x.Handle(), err)
			}
			if x.SetWord(1) || x.Word() != 0 || x.RemoteAddr().IsValid() {
				t.Errorf("%x: is alive", x.Handle())
			}
			x.Close(loop.ReasonDone)
			x.End(loop.ReasonDone)
			x.Release()
		}
		if n := g.Stats().Closed[loop.ReasonDone]; n != 0 {
			t.Errorf("closed again %d times", n)
		}
	})
}

// TestCloseFromStep: a protocol may close its connection in any of its
// methods; Step is not called again.
func TestCloseFromStep(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		closed, onClosed := ends(1)
		var steps atomic.Int32
		step := func(t *loop.Turn) loop.Verdict {
			steps.Add(1)
			t.Conn.Close(loop.ReasonApplication)
			if err := t.Conn.Write([]byte("x")); !errors.Is(err, loop.ErrClosed) {
				panic(fmt.Sprint("write after close: ", err))
			}
			return echoLine(t)
		}
		_, addr := newGroup(t, portable, loop.Options{}, &proto{step: step, closed: onClosed})
		c := dial(t, addr)
		c.send("a\nb\nc\n")
		c.expectGone()
		if e := recv(t, closed); e.r != loop.ReasonApplication {
			t.Errorf("closed for %v", e.r)
		}
		if n := steps.Load(); n != 1 {
			t.Errorf("Step was called %d times", n)
		}
	})
}

// arena is the stress of TestStaleHandles: visitors come and go, each time with
// a tag of its own that the server learns from its first bytes, and writers
// write tags to connections that may be gone, or somebody else's by now.
type arena struct {
	t             *testing.T
	g             *loop.Group
	addr          string
	mu            sync.Mutex
	known         [arenaVisitors][]tagged // guarded by mu; each visitor's last connections
	seq           atomic.Uint64
	closing, over chan struct{} // ends of the visitors and of the writers
	sent, refused atomic.Int64
	visits        atomic.Int64
}

type tagged struct {
	h   loop.Handle
	tag uint64
}

const arenaVisitors = 8

// step reads the tag with which a client begins and holds the connection. The
// visitor is in the tag's upper byte.
func (a *arena) step(t *loop.Turn) loop.Verdict {
	if len(t.In) < 8 {
		return loop.More
	}
	t.N = 8
	e := tagged{t.Conn.Handle(), binary.BigEndian.Uint64(t.In)}
	a.mu.Lock()
	defer a.mu.Unlock()
	k := &a.known[e.tag>>56]
	if *k = append(*k, e); len(*k) > 8 {
		*k = (*k)[1:]
	}
	return loop.Hold
}

// pick returns a connection: a visitor's last, or one of those before.
func (a *arena) pick() (e tagged) {
	a.mu.Lock()
	defer a.mu.Unlock()
	k := a.known[rand.IntN(arenaVisitors)]
	switch {
	case len(k) == 0:
		return tagged{}
	case rand.IntN(2) == 0:
		return k[len(k)-1]
	}
	return k[rand.IntN(len(k))]
}

// write writes tags, and closes now and then.
func (a *arena) write() {
	buf := make([]byte, 0, 8*2048)
	for {
		select {
		case <-a.over:
			return
		default:
		}
		e := a.pick()
		c := a.g.Conn(e.h)
		buf = buf[:0]
		for range 1 + rand.IntN(20) {
			buf = binary.BigEndian.AppendUint64(buf, e.tag)
		}
		if rand.IntN(50) == 0 { // more than the kernel takes
			for len(buf) < cap(buf) {
				buf = binary.BigEndian.AppendUint64(buf, e.tag)
			}
		}
		if c.Write(buf) == nil {
			a.sent.Add(1)
		} else {
			a.refused.Add(1)
		}
		switch rand.IntN(60) {
		case 0:
			c.Close(loop.ReasonApplication)
		case 1:
			c.End(loop.ReasonApplication)
		}
	}
}

// visit is one client after another; every byte it gets must carry its tag.
func (a *arena) visit(visitor uint64) {
	buf, begun := make([]byte, 8<<10), time.Now()
	for {
		select {
		case <-a.closing:
			if a.fought() || time.Since(begun) > patience {
				return
			}
		default:
		}
		c, err := net.Dial("tcp", a.addr)
		if err != nil {
			a.t.Error(err)
			return
		}
		tag := visitor<<56 | a.seq.Add(1)
		_ = c.SetDeadline(time.Now().Add(patience))
		_, _ = c.Write(binary.BigEndian.AppendUint64(nil, tag))
		a.listen(c, tag, buf)
		if rand.IntN(2) == 0 {
			_ = c.(*net.TCPConn).SetLinger(0)
		}
		_ = c.Close()
		a.visits.Add(1)
	}
}

func (a *arena) listen(c net.Conn, tag uint64, buf []byte) {
	have := 0
	for most := rand.IntN(6000); most > 0; {
		n, err := c.Read(buf[have:])
		most -= n
		have += n
		whole := have &^ 7
		for i := 0; i < whole; i += 8 {
			if got := binary.BigEndian.Uint64(buf[i:]); got != tag {
				a.t.Errorf("client %d got bytes of client %d", tag, got)
				return
			}
		}
		have = copy(buf, buf[whole:have])
		if err != nil {
			if isTimeout(err) {
				a.t.Error(err)
			}
			return
		}
	}
}

// fought reports whether there was enough of it to have found something.
func (a *arena) fought() bool {
	return a.visits.Load() >= 20 && a.sent.Load() >= 100 && a.refused.Load() >= 100
}

// TestStaleHandles: eight writers fight closing and reopening; no byte ever
// reaches another client than the one it was meant for.
func TestStaleHandles(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		a := &arena{t: t, closing: make(chan struct{}), over: make(chan struct{})}
		a.g, a.addr = newGroup(t, portable, loop.Options{OutMax: 8 << 20}, &proto{step: a.step})
		var visitors, writers sync.WaitGroup
		for v := range uint64(arenaVisitors) {
			visitors.Go(func() { a.visit(v) })
			writers.Go(a.write)
		}
		timer := time.AfterFunc(1500*time.Millisecond, func() { close(a.closing) })
		defer timer.Stop()
		visitors.Wait() // the writers go on until the last visitor has been served
		close(a.over)
		writers.Wait()
		t.Logf("%d clients came and went, %d writes arrived, %d were refused", a.visits.Load(), a.sent.Load(), a.refused.Load())
		if !a.fought() {
			t.Error("not much of a fight")
		}
		until(t, "all are gone", func() bool { return a.g.Stats().Open == 0 })
		if st := a.g.Stats(); st.OutHeld != 0 || st.InHeld != 0 || st.Held != 0 {
			t.Errorf("left behind: %d out, %d in, %d held", st.OutHeld, st.InHeld, st.Held)
		}
	})
}

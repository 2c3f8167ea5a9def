package batch

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/rookery-server/rookery/bench/corpus"
)

// node is one end over a socket, as a mesh drives it: a lock, a writer, a
// reader.
type node struct {
	mu   sync.Mutex
	work sync.Cond // there may be a frame to write
	room sync.Cond // there may be room to append
	link *Link
	conn net.Conn
	wire uint64
	end  bool
}

func newNode(o Options, conn net.Conn) *node {
	n := &node{link: NewLink(o), conn: conn}
	n.work.L, n.room.L = &n.mu, &n.mu
	return n
}

func (n *node) write() error {
	out := make([]byte, 0, 512<<10)
	for {
		out = out[:0]
		n.mu.Lock()
		for {
			before := len(out)
			out = n.link.NextFrame(out)
			if len(out) >= 256<<10 || n.end && len(out) == 0 {
				break
			}
			if len(out) == before {
				if len(out) > 0 {
					break
				}
				n.work.Wait()
			}
		}
		n.wire += uint64(len(out))
		n.mu.Unlock()
		if len(out) == 0 {
			return nil
		}
		if _, err := n.conn.Write(out); err != nil {
			return err
		}
	}
}

func (n *node) read(take func(Lane, []byte) error) error {
	buf := make([]byte, 512<<10)
	have := 0
	for {
		k, err := n.conn.Read(buf[have:])
		if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
			return nil
		} else if err != nil {
			return err
		}
		have += k
		n.mu.Lock()
		used, err := n.link.Receive(buf[:have], take)
		n.work.Signal()
		n.room.Signal()
		n.mu.Unlock()
		if err != nil {
			return err
		}
		have = copy(buf, buf[used:have])
	}
}

func (n *node) publish(lane Lane, msg []byte) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		_, err := n.link.Append(lane, msg)
		if !errors.Is(err, ErrFull) {
			n.work.Signal()
			return err
		}
		n.room.Wait()
	}
}

func (n *node) stop() {
	n.mu.Lock()
	n.end = true
	n.work.Signal()
	n.mu.Unlock()
	n.conn.Close()
}

// BenchmarkLinkOverLoopback is what the protocol leaves of a TCP connection:
// from publish through the lookup of the session to its subscriber, without TLS
// and without a cluster. Beside it: bin/baseline nats-route.
func BenchmarkLinkOverLoopback(b *testing.B) {
	for _, c := range []struct {
		name     string
		lane     Lane
		features Features
	}{{"s2", Data, FeatureS2}, {"huffman", Data, AllFeatures}, {"zstd", Bulk, AllFeatures}} {
		b.Run(c.name, func(b *testing.B) { benchmarkLoopback(b, c.lane, Options{Features: c.features}) })
	}
}

func benchmarkLoopback(b *testing.B, lane Lane, o Options) {
	x, y := nodes(b, o)
	messages := headed(max(b.N, 1))
	sessions := make([]uint64, corpus.Sessions)
	json, left := 0, b.N
	done := make(chan struct{})
	take := func(_ Lane, msg []byte) error {
		sessions[binary.LittleEndian.Uint32(msg[1:])]++
		json += len(msg) - 5
		if left--; left == 0 {
			close(done)
		}
		return nil
	}
	var group sync.WaitGroup
	for _, f := range []func() error{x.write, y.write, func() error { return x.read(take) }, func() error { return y.read(take) }} {
		group.Go(func() {
			if err := f(); err != nil && !errors.Is(err, net.ErrClosed) {
				b.Error(err)
			}
		})
	}
	b.ResetTimer()
	for _, msg := range messages {
		if err := x.publish(lane, msg); err != nil {
			b.Fatal(err)
		}
	}
	<-done
	b.StopTimer()
	x.stop()
	y.stop()
	group.Wait()
	b.ReportMetric(float64(x.wire)/float64(json), "wire/json")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
}

func nodes(b *testing.B, o Options) (x, y *node) {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	out, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	in, err := l.Accept()
	if err != nil {
		b.Fatal(err)
	}
	o.Local, o.Remote = 1, 2
	x = newNode(o, out)
	o.Local, o.Remote = 2, 1
	y = newNode(o, in)
	connect(b, x.link, y.link)
	return x, y
}

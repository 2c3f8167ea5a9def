// Package faultnet is a network that fails on demand, for tests: a proxy for
// stream connections that cuts, holds back, delays and damages what it passes
// on.
//
//	p, err := faultnet.New("tcp", "127.0.0.1:0", target)
//	defer p.Close()
//	client dials p.Addr()
//	p.Blackhole(faultnet.ToTarget, true)
//
// What a network would lose it would also send again, so nothing is lost here
// either: a black hole holds bytes back, as retransmission does on a path that
// is down, and lets them through when it is lifted. As with a real one, whoever
// sends into it fills buffers and then blocks, and neither end hears of the
// other's end of file. Only a new connection differs: it is accepted, and then
// nothing comes.
package faultnet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Direction is one way through a proxy.
type Direction int

// The directions.
const (
	ToTarget Direction = iota // from whoever dialled the proxy
	ToClient
	directions
)

// What a proxy holds of each direction of a connection, beside what the kernel
// holds, is at most chunks × chunkSize bytes.
const (
	chunkSize = 16 << 10
	chunks    = 16
)

// Proxy passes connections on to one target. Its methods may be called from any
// goroutine and act at once on connections that exist and on later ones.
type Proxy struct {
	network, target string
	addr            string
	ways            [directions]way
	flips           atomic.Uint64
	ctx             context.Context
	cancel          context.CancelFunc
	wg              sync.WaitGroup

	mu    sync.Mutex
	ln    net.Listener   // guarded by mu; nil while down
	pairs map[*pair]bool // guarded by mu
}

// New listens on addr, whose network is "tcp" or "unix", and passes connections
// on to target on the same network. For TCP, port 0 draws one.
func New(network, addr, target string) (*Proxy, error) {
	p := &Proxy{network: network, target: target, addr: addr, pairs: map[*pair]bool{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	for d := range p.ways {
		p.ways[d].changed = make(chan struct{})
		p.ways[d].rand = rand.New(rand.NewPCG(1, uint64(d)))
	}
	if err := p.Up(); err != nil {
		return nil, err
	}
	return p, nil
}

// Addr is where to dial.
func (p *Proxy) Addr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.addr
}

// SetTarget says where connections accepted from now on lead.
func (p *Proxy) SetTarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Up listens again, at the same address, after Down.
func (p *Proxy) Up() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ln != nil || p.ctx.Err() != nil {
		return p.ctx.Err()
	}
	ln, err := net.Listen(p.network, p.addr)
	if err != nil {
		return fmt.Errorf("faultnet: %w", err)
	}
	p.ln, p.addr = ln, ln.Addr().String()
	p.wg.Go(func() { p.serve(ln) })
	return nil
}

// Down is the death of the target as clients see it: connections are reset and
// new ones refused.
func (p *Proxy) Down() {
	p.mu.Lock()
	if p.ln != nil {
		p.ln.Close()
		p.ln = nil
	}
	p.mu.Unlock()
	p.Cut()
}

// Cut resets all connections at both ends. New ones are welcome.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		c.reset()
	}
}

// Blackhole holds one direction back, or lets it go on.
func (p *Proxy) Blackhole(d Direction, on bool) { p.ways[d].set(func(w *way) { w.held = on }) }

// Delay adds to the time bytes take in one direction. Bytes under way keep the
// delay they have.
func (p *Proxy) Delay(d Direction, by time.Duration) { p.ways[d].set(func(w *way) { w.delay = by }) }

// Flip turns one bit over in about every n bytes of one direction, at places
// that are the same in each run; 0 stops it.
func (p *Proxy) Flip(d Direction, n int) { p.ways[d].set(func(w *way) { w.every, w.left = n, n }) }

// Flips returns how many bits were turned over.
func (p *Proxy) Flips() uint64 { return p.flips.Load() }

// Connections returns how many connections are open.
func (p *Proxy) Connections() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.pairs)
}

// Close ends everything and waits for it.
func (p *Proxy) Close() {
	p.cancel()
	p.Down()
	p.wg.Wait()
}

func (p *Proxy) serve(ln net.Listener) {
	for {
		client, err := ln.Accept()
		if err != nil {
			return // closed; a test that runs out of descriptors has other worries
		}
		p.wg.Go(func() { p.join(client) })
	}
}

// join connects client with the target and stays until both ways are over.
func (p *Proxy) join(client net.Conn) {
	p.mu.Lock()
	target := p.target
	p.mu.Unlock()
	var dialer net.Dialer
	server, err := dialer.DialContext(p.ctx, p.network, target)
	if err != nil {
		abort(client)
		return
	}
	c := &pair{p: p, ends: [2]net.Conn{client, server}, over: make(chan struct{})}
	p.mu.Lock()
	down := p.ln == nil
	p.pairs[c] = true
	p.mu.Unlock()
	if down {
		c.reset()
	}
	var wg sync.WaitGroup
	wg.Go(func() { c.pump(ToTarget, client, server) })
	wg.Go(func() { c.pump(ToClient, server, client) })
	wg.Wait()
	client.Close()
	server.Close()
	p.mu.Lock()
	delete(p.pairs, c)
	p.mu.Unlock()
}

// way is what happens to bytes in one direction.
type way struct {
	mu      sync.Mutex
	held    bool          // guarded by mu
	delay   time.Duration // guarded by mu
	every   int           // guarded by mu; bytes from flip to flip, 0: none
	left    int           // guarded by mu; bytes until the next
	rand    *rand.Rand    // guarded by mu
	changed chan struct{} // guarded by mu; closed and replaced by set
}

func (w *way) set(f func(*way)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(w)
	close(w.changed)
	w.changed = make(chan struct{})
}

// due returns when bytes that come now are to go on.
func (w *way) due() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return time.Now().Add(w.delay)
}

// open waits until the way is not held back, and reports false if over is closed.
func (w *way) open(over <-chan struct{}) bool {
	for {
		w.mu.Lock()
		held, changed := w.held, w.changed
		w.mu.Unlock()
		if !held {
			return true
		}
		select {
		case <-changed:
		case <-over:
			return false
		}
	}
}

// damage turns bits of b over and returns how many.
func (w *way) damage(b []byte) (n uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.every == 0 {
		return 0
	}
	i := 0
	for ; i+w.left <= len(b); n++ {
		i += w.left
		b[i-1] ^= 1 << w.rand.IntN(8)
		w.left = 1 + w.rand.IntN(2*w.every)
	}
	w.left -= len(b) - i
	return n
}

// pair is one connection through the proxy.
type pair struct {
	p    *Proxy
	ends [2]net.Conn
	over chan struct{} // closed by reset
	once sync.Once
}

func (c *pair) reset() {
	c.once.Do(func() {
		close(c.over)
		abort(c.ends[0])
		abort(c.ends[1])
	})
}

// abort closes a connection with a reset where the network knows such a thing.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // then it is an ordinary close
	}
	c.Close()
}

// chunk is what one Read brought, nil for the end of file.
type chunk struct {
	data []byte
	due  time.Time
}

// pump moves one direction until its end of file or the end of the pair.
func (c *pair) pump(d Direction, src, dst net.Conn) {
	queue := make(chan chunk, chunks)
	var wg sync.WaitGroup
	wg.Go(func() { c.deliver(d, dst, queue) })
	defer wg.Wait()
	defer close(queue)
	for {
		data := make([]byte, chunkSize)
		n, err := src.Read(data)
		if n > 0 {
			queue <- chunk{data[:n], c.p.ways[d].due()} // deliver empties it to the end
		}
		switch {
		case err == nil:
		case errors.Is(err, io.EOF):
			queue <- chunk{nil, c.p.ways[d].due()}
			return
		default:
			c.reset()
			return
		}
	}
}

// deliver passes on what is due until the queue is closed.
func (c *pair) deliver(d Direction, dst net.Conn, queue <-chan chunk) {
	w := &c.p.ways[d]
	timer := time.NewTimer(0)
	defer timer.Stop()
	for next := range queue {
		timer.Reset(time.Until(next.due))
		select {
		case <-timer.C:
		case <-c.over:
		}
		if !w.open(c.over) {
			continue
		}
		var err error
		if next.data == nil {
			err = dst.(interface{ CloseWrite() error }).CloseWrite()
		} else {
			c.p.flips.Add(w.damage(next.data))
			_, err = dst.Write(next.data)
		}
		if err != nil {
			c.reset()
		}
	}
}

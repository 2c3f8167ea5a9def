package loop

import (
	"fmt"
	"log/slog"
	"runtime"
	"time"
)

// A Pool runs functions on goroutines of its own; *ants.Pool is one. Submit
// must not block: when the pool is full it returns an error, and the loop tries
// again when a worker is free.
type Pool interface {
	Submit(task func()) error
}

// Options configure a group. The zero value is useful: every field's default
// stands beside it. Sizes are bytes.
type Options struct {
	// Loops is the number of event loops. Default: half of GOMAXPROCS, at
	// least 1; the other half runs workers. A protocol that hands nothing to
	// workers may want one loop per processor.
	Loops int
	// Portable runs on package net with goroutines even where epoll is there.
	Portable bool
	// Logger receives what an operator should know. Default: slog.Default().
	Logger *slog.Logger

	// Pool runs workers. Default: a goroutine per drain, at most Workers.
	Pool Pool
	// Workers is how many records are worked on at a time. Default: 64 × GOMAXPROCS.
	Workers int
	// WaitingMax bounds handlers that wait outside the worker count. Default: 65,536.
	WaitingMax int
	// RingSize bounds the connections of one loop that wait for a worker. Default: 4,096.
	RingSize int

	// ConnsMax bounds open connections; 0 means as many as descriptors allow,
	// less ReserveFDs.
	ConnsMax int
	// ReserveFDs descriptors are left for the rest of the process (admin
	// listener, peers, files). Default: 64.
	ReserveFDs int
	// Pacer spreads connections over processes that accept from the same
	// sockets. Default: none, the group takes all it can.
	Pacer Pacer
	// Backlog of listeners. Default: net.core.somaxconn.
	Backlog int

	// ReadBuffer is the one read buffer of a loop. Default: 64 KiB.
	ReadBuffer int
	// MessageMax bounds one message, and so the unfinished tail of a
	// connection. Default: 16 MiB + 64 KiB.
	MessageMax int
	// QueueMax bounds the records of one connection that wait for its worker;
	// reading pauses at it. One record may pass it. Default: 256 KiB.
	QueueMax int
	// HoldMax bounds bytes kept behind an open stream. Default: 8 KiB.
	HoldMax int
	// OutHigh and OutLow are the marks on held output at which reading of that
	// client pauses and resumes. Default: 256 KiB and 64 KiB.
	OutHigh, OutLow int
	// OutMax bounds held output of one connection: a write that finds so much
	// already held closes the client as slow. Default: 4 MiB.
	OutMax int
	// Budget bounds all bytes held for all connections (tails, records,
	// output). Default: 1 GiB.
	Budget int64

	// TickEvery is the resolution of deadlines. Each tick wakes an idle process
	// and with it the runtime's monitor: a fifth of a percent of a core for one
	// tick a second. Default: 500 ms.
	TickEvery time.Duration
	// HandshakeTimeout bounds the time to a connection's first whole message.
	// Default: 10 s.
	HandshakeTimeout time.Duration
	// IdleTimeout closes a connection silent for so long that is not on Hold.
	// Negative: never. Default: 10 min.
	IdleTimeout time.Duration
	// RequestTimeout bounds the arrival of one message, from the first byte
	// left over to its last. Default: 60 s.
	RequestTimeout time.Duration
	// WriteStall closes a client that took none of its held output for so
	// long. Default: 30 s.
	WriteStall time.Duration
	// KeepAlive is the period of Protocol.Tick on held connections. Default: 25 s.
	KeepAlive time.Duration
	// DrainMoment is how long Shutdown waits for the request of a connection
	// that is new or in the middle of one: its peer has not been told yet that
	// the group stops. Default: 250 ms.
	DrainMoment time.Duration
}

func (o *Options) fill() error {
	def := func(p *int, d int) {
		if *p == 0 {
			*p = d
		}
	}
	dur := func(p *time.Duration, d time.Duration) {
		if *p == 0 {
			*p = d
		}
	}
	def(&o.Loops, min(max(1, runtime.GOMAXPROCS(0)/2), loopsMax))
	def(&o.Workers, 64*runtime.GOMAXPROCS(0))
	def(&o.WaitingMax, 1<<16)
	def(&o.RingSize, 4096)
	def(&o.ReserveFDs, 64)
	def(&o.ReadBuffer, 64<<10)
	def(&o.MessageMax, 16<<20+64<<10)
	def(&o.QueueMax, 256<<10)
	def(&o.HoldMax, 8<<10)
	def(&o.OutHigh, 256<<10)
	def(&o.OutLow, o.OutHigh/4)
	def(&o.OutMax, max(4<<20, o.OutHigh))
	if o.Budget == 0 {
		o.Budget = 1 << 30
	}
	dur(&o.TickEvery, 500*time.Millisecond)
	dur(&o.HandshakeTimeout, 10*time.Second)
	dur(&o.IdleTimeout, 10*time.Minute)
	dur(&o.RequestTimeout, time.Minute)
	dur(&o.WriteStall, 30*time.Second)
	dur(&o.KeepAlive, 25*time.Second)
	dur(&o.DrainMoment, 250*time.Millisecond)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Pacer == nil {
		o.Pacer = noPacer{}
	}
	return o.check()
}

// check names the relation between limits that does not hold.
func (o *Options) check() error {
	for _, c := range []struct {
		bad  bool
		what string
	}{
		{o.Loops < 1 || o.Loops > loopsMax, fmt.Sprintf("Loops must be 1 to %d", loopsMax)},
		{o.Workers < 1, "Workers must be at least 1"},
		{o.RingSize < 1, "RingSize must be at least 1"},
		{o.ReadBuffer < 1024, "ReadBuffer must be at least 1024 bytes"},
		{o.MessageMax < 1, "MessageMax must be positive"},
		{o.OutLow >= o.OutHigh, "OutLow must be below OutHigh"},
		{o.OutHigh > o.OutMax, "OutHigh must not exceed OutMax"},
		{o.TickEvery < time.Millisecond, "TickEvery must be at least 1 ms"},
		{o.KeepAlive < o.TickEvery, "KeepAlive must not be below TickEvery"},
		{o.ConnsMax < 0 || o.ReserveFDs < 0, "ConnsMax and ReserveFDs must not be negative"},
	} {
		if c.bad {
			return fmt.Errorf("loop: %s", c.what)
		}
	}
	return nil
}

const loopsMax = 256

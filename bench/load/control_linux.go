package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// read takes orders as far as they have come.
func (w *worker) read() error {
	for {
		n, err := unix.Read(w.in, w.buffer[:])
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return nil
		case err != nil:
			return os.NewSyscallError("read", err)
		case n == 0:
			w.ended = true
			return nil
		}
		w.orders = append(w.orders, w.buffer[:n]...)
		for {
			line, rest, ok := bytes.Cut(w.orders, []byte("\n"))
			if !ok {
				break
			}
			var o order
			if err := json.Unmarshal(line, &o); err != nil {
				return fmt.Errorf("load: an order: %w", err)
			}
			w.orders = append(w.orders[:0], rest...)
			if err := w.obey(o); err != nil {
				return err
			}
		}
	}
}

// obey executes an order. What it cannot execute it says; an error is one that
// ends the process.
func (w *worker) obey(o order) error {
	if (w.setup == nil) != (o.Op == opSetup) || o.Op == opSetup && o.Setup == nil {
		return w.reply(answer{Re: o.No, Error: fmt.Sprintf("the order %q comes at the wrong time", o.Op)})
	}
	switch o.Op {
	case opSetup:
		if err := w.begin(o.Setup); err != nil {
			return err
		}
	case opRamp:
		now := w.now()
		w.ramp.want += o.Count
		w.ramp.interval, w.ramp.next = float64(time.Second)/o.PerSecond, float64(now)
		w.ramp.order = o.No
		return w.recruit(now) // the answer comes when they are up
	case opRate:
		w.setRate(o.PerSecond, w.now())
	case opSpread:
		w.o.Spread = o.On
	case opPublish:
		w.published, w.publishing = o.Number, true
	case opPublished:
		w.publishing = false
	case opAudit:
		return w.reply(answer{Re: o.No, Audit: w.audit(o.Number, o.Failed)})
	case opShake:
		w.shakeAll(o.Share, o.Over)
	case opFlush:
		return w.report(o.No)
	default:
		return w.reply(answer{Re: o.No, Error: fmt.Sprintf("there is no order %q", o.Op)})
	}
	return w.reply(answer{Re: o.No})
}

// report tells what happened since the last report, as the answer to order no,
// if that is not 0.
func (w *worker) report(no int64) error {
	r := w.tally.report(w.second)
	r.Connected, r.Away, r.Flying, r.Ends = w.connected, w.aways, w.calls.count-w.handshakes, no == 0
	return w.reply(answer{Re: no, Report: r})
}

// reply writes a line. It blocks while the coordinator does not read.
func (w *worker) reply(a answer) error {
	line, err := json.Marshal(a)
	if err != nil {
		return err
	}
	line = append(line, '\n')
	for len(line) > 0 {
		n, err := unix.Write(w.out, line)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return os.NewSyscallError("write", err)
		}
		line = line[n:]
	}
	return nil
}

// shakeAll ends the connections of a share of the clients, each at a random
// moment within over.
func (w *worker) shakeAll(share float64, over time.Duration) {
	now := w.now()
	for i := range w.clients {
		if w.random.Float64() < share {
			at := now + int64(w.random.Float64()*float64(over))
			w.timers.add(timer{at: at, what: timerShake, index: int32(i)})
		}
	}
}

// audit compares what clients heard with the events up to number, without those
// that failed.
func (w *worker) audit(number uint32, failed []uint32) *auditPart {
	a := &auditPart{}
	slices.Sort(failed)
	excused := func(n uint32) bool {
		_, ok := slices.BinarySearch(failed, n)
		return ok
	}
	for i := range w.clients {
		c := &w.clients[i]
		if !c.is(known) {
			continue
		}
		a.Clients++
		if g := w.missed[int32(i)]; g != nil {
			a.Missing += g.more
			for _, n := range g.list {
				if !excused(n) {
					a.Missing++
				}
			}
		}
		for n := max(c.heard, c.base) + 1; n <= number; n++ {
			if !excused(n) {
				a.Missing++
			}
		}
	}
	return a
}

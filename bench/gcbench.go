package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/rookery-server/rookery/bench/wire"
	"github.com/rookery-server/rookery/memprof"
)

const (
	gcCallers  = 50
	gcRate     = 3000 // calls a second: a small part of two cores
	gcStepsMax = 20
	// gcCycles are wanted when there are no budgets to say so.
	gcCycles = 20
)

// gc holds many streams, calls tools at a moderate rate until the collector
// has run often enough, and reports its pauses. What is missing after
// gcStepsMax steps is forced: a forced cycle stops the world like any other.
//
// To stop the world is to wait until every thread of the server has had a
// processor. Clients at the same priority on the same processors would be
// measured with it, so here they give way.
func (b *cpuBench) gc(ctx context.Context) error {
	want := uint64(gcCycles)
	if b.Budgets != nil {
		want = b.Budgets.GC.Cycles
	}
	clients := b.clients(defaultClients)
	s := &subject{program: rookeryProgram(b.Server, b.Args), kind: Stream, counts: []int{clients}}
	m := &memBench{self: b.Self, yield: true, timeout: b.Timeout, progress: b.progress}
	return m.on(ctx, s, measureGC, func(at *site) error {
		addr, _ := at.server.admin()
		asked := newAdmin(addr)
		at.say("opening " + thousands(clients) + " clients")
		if _, err := at.crew.open(ctx, at.target, Stream, clients, at.tell); err != nil {
			return err
		}
		if _, err := at.crew.open(ctx, at.target, Caller, gcCallers, nil); err != nil {
			return err
		}
		result, err := b.pauses(ctx, at, asked, want)
		if err != nil {
			return err
		}
		result.Clients = clients
		b.report.GC = result
		return at.crew.order(ctx, opCheck, at.target, Stream)
	})
}

// pauses loads the server until its collector has run want times.
func (b *cpuBench) pauses(ctx context.Context, at *site, asked *admin, want uint64) (*GCResult, error) {
	before, err := asked.report(ctx)
	if err != nil {
		return nil, err
	}
	busy, err := readBusy()
	if err != nil {
		return nil, err
	}
	r := &GCResult{}
	load := LoadOrder{Kind: Caller, Rate: gcRate, Measure: b.Measure, PID: at.server.pid}
	for range gcStepsMax {
		at.say(fmt.Sprintf("%d of %d cycles", r.GC.Cycles, want))
		if r.Load, err = at.crew.load(ctx, at.target, load); err != nil {
			return nil, err
		}
		if err := r.read(ctx, asked, before.GC); err != nil {
			return nil, err
		}
		if r.GC.Cycles >= want {
			break
		}
	}
	for r.GC.Cycles < want {
		if err := asked.collect(ctx); err != nil {
			return nil, err
		}
		if err := r.read(ctx, asked, before.GC); err != nil {
			return nil, err
		}
	}
	now, err := readBusy()
	if err != nil {
		return nil, err
	}
	r.CPUShare, r.StolenShare = now.since(busy)
	r.P99 = int64(r.GC.Quantile(0.99))
	return r, nil
}

func (r *GCResult) read(ctx context.Context, asked *admin, base memprof.GC) error {
	report, err := asked.report(ctx)
	r.GC = report.GC.Since(base)
	return err
}

// busy is the time that all processors of the machine worked, that a
// hypervisor gave to other machines instead, and all time, in ticks.
type busy struct{ work, stolen, all int64 }

const statPath = "/proc/stat"

func readBusy() (busy, error) {
	text, err := os.ReadFile(statPath)
	if err != nil {
		return busy{}, fmt.Errorf("bench: %w", errors.Join(err, errNeedsLinux))
	}
	return parseBusy(text)
}

// parseBusy reads the first line: cpu user nice system idle iowait irq softirq
// steal …
func parseBusy(text []byte) (b busy, err error) {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	words := bytes.Fields(line)
	const idle, iowait, steal = 4, 5, 8
	if len(words) <= iowait || string(words[0]) != "cpu" {
		return b, fmt.Errorf("bench: %s starts with %q", statPath, wire.Clip(line))
	}
	// guest times, from the ninth on, are part of user and nice.
	for i, w := range words[1:min(len(words), 9)] {
		n, err := strconv.ParseInt(string(w), 10, 64)
		if err != nil {
			return b, fmt.Errorf("bench: %s: %w", statPath, err)
		}
		b.all += n
		switch i + 1 {
		case idle, iowait:
		case steal:
			b.stolen += n
		default:
			b.work += n
		}
	}
	return b, nil
}

// since returns the shares of the time after base in which processors worked
// and were stolen.
func (b busy) since(base busy) (work, stolen float64) {
	all := float64(max(1, b.all-base.all))
	return float64(b.work-base.work) / all, float64(b.stolen-base.stolen) / all
}

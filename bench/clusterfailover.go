package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rookery-server/rookery/memprof"
)

const (
	// failoverRate is how many events a second are broadcast meanwhile.
	failoverRate = 4
	// failoverCalm is how long the load runs before and after the fault.
	failoverCalm = 1500 * time.Millisecond

	servedBar = 2.0
)

// fault is what is done to a cluster with clients.
type fault struct {
	kind string
	args []string
	// clients are at these nodes, evenly.
	at []int
	// victims are the nodes that are killed; the publisher is at the last node,
	// which is none of them.
	victims []int
	// strike does it.
	strike func(ctx context.Context, c *nodes) error
	bar    float64
}

// failover kills a node that holds all clients.
func (b *clusterBench) failover(ctx context.Context) error {
	return b.faults(ctx, fault{kind: "failover", at: []int{0}, victims: []int{0}, bar: servedBar})
}

// two kills two of four at once.
func (b *clusterBench) two(ctx context.Context) error {
	return b.faults(ctx, fault{kind: "two", at: []int{0, 1, 2, 3}, victims: []int{0, 1}, bar: noBar})
}

// faultSum adds up the rounds of one fault.
type faultSum struct {
	served, acks        []time.Duration
	audit               audit
	gone, turned        int
	published, rejected int
}

func (b *clusterBench) faults(ctx context.Context, f fault) error {
	if f.strike == nil {
		f.strike = func(_ context.Context, c *nodes) error {
			for _, v := range f.victims {
				if err := c.kill(v); err != nil {
					return err
				}
			}
			return nil
		}
	}
	var sum faultSum
	for i := range b.Rounds {
		b.progress.step("%s, round %d of %d: %s clients", f.kind, i+1, b.Rounds, thousands(b.Clients))
		err := b.with(ctx, clusterNodes, f.args, func(ctx context.Context, c *nodes) error { return b.faultOnce(ctx, c, f, &sum) })
		if err != nil {
			return err
		}
	}
	r, sessions := b.report, sum.audit.Sessions
	r.times(f.kind, "clients served again", sum.served, f.bar)
	r.value(f.kind, "sessions that did not survive", sessions, float64(sum.gone), "sessions", 0)
	r.value(f.kind, "acknowledged events lost", sum.audit.Heard, float64(sum.audit.Lost), "events", 0)
	r.value(f.kind, "events heard twice", sum.audit.Heard, float64(sum.audit.Doubled), "events", 0)
	r.value(f.kind, "events heard behind a later one", sum.audit.Heard, float64(sum.audit.Early), "events", 0)
	r.times(f.kind, "broadcast acknowledged meanwhile", sum.acks, noBar)
	r.note("%s: %d broadcasts, %d of them not acknowledged; clients were turned away %d times (503)", f.kind, sum.published, sum.rejected, sum.turned)
	return nil
}

func (b *clusterBench) faultOnce(ctx context.Context, c *nodes, f fault, sum *faultSum) (err error) {
	crowd, err := hireRoamers(b.Self, c, b.Timeout)
	if err != nil {
		return err
	}
	defer func() {
		if stopped := crowd.stop(); err == nil {
			err = stopped
		}
	}()
	for _, i := range f.at {
		if err := crowd.enroll(ctx, i, b.Clients/len(f.at), true, func(int) {}); err != nil {
			return err
		}
	}
	step, cancel := b.step(ctx, "copying sessions")
	defer cancel()
	if _, err := c.agreed(step, c.all(), len(c.list)); err != nil {
		return err
	}
	voice := newAnnouncer(c.list[len(c.list)-1].http)
	defer voice.close()
	if err := voice.surely(ctx); err != nil {
		return err
	}
	silence := voice.run(ctx, failoverRate)
	settled, err := b.struck(ctx, c, f, crowd)
	if stopped := silence(); err == nil {
		err = stopped
	}
	if err != nil {
		return err
	}
	if err := voice.surely(ctx); err != nil {
		return err
	}
	last := voice.last
	if _, err := crowd.await(ctx, last); err != nil {
		b.report.note("%s: %v", f.kind, err) // the audit says how many
	}
	heard, err := crowd.audit(ctx, last, voice.failed)
	if err != nil {
		return err
	}
	sum.add(&settled, &heard, voice)
	if len(settled.Served) > 0 {
		b.report.note("%s: the first client was served again after %s", f.kind, millis(time.Duration(slices.Min(settled.Served))))
	}
	if voice.why != nil {
		b.report.note("%s: a broadcast was not acknowledged: %v", f.kind, voice.why)
	}
	return nil
}

// add adds one round.
func (s *faultSum) add(settled *roamAnswer, heard *audit, voice *announcer) {
	for _, ns := range settled.Served {
		s.served = append(s.served, time.Duration(ns))
	}
	s.acks = slices.Concat(s.acks, voice.took)
	s.audit.add(*heard)
	s.gone += settled.Gone
	s.turned += settled.Turned
	s.published += int(voice.last)
	s.rejected += len(voice.failed)
}

// struck lets the fault happen in the middle of the load.
func (b *clusterBench) struck(ctx context.Context, c *nodes, f fault, crowd *roamers) (a roamAnswer, err error) {
	if err := Sleep(ctx, failoverCalm); err != nil {
		return a, err
	}
	nodes, clients, err := spent(c, f.victims, crowd)
	if err != nil {
		return a, err
	}
	start := time.Now()
	if err := f.strike(ctx, c); err != nil {
		return a, err
	}
	if a, err = crowd.settle(ctx, f.victims, start); err != nil {
		return a, fmt.Errorf("%w; served again: %d", err, len(a.Served))
	}
	took := time.Since(start)
	nodesAfter, clientsAfter, err := spent(c, f.victims, crowd)
	if err != nil {
		return a, err
	}
	if len(f.victims) == 0 {
		return a, Sleep(ctx, failoverCalm) // the processes of a node that has several are not told apart
	}
	b.report.note("%s: of the %s until the last was served the nodes ran for %s, the clients for %s, of %d processors", f.kind,
		millis(took), millis(nodesAfter-nodes), millis(clientsAfter-clients), b.report.Machine.CPUs)
	return a, Sleep(ctx, failoverCalm)
}

// spent returns the processor time that the nodes which are no victims, and the
// clients, have used.
func spent(c *nodes, victims []int, crowds ...*roamers) (nodes, clients time.Duration, err error) {
	for _, i := range c.except(victims...) {
		used, err := memprof.CPUTime(c.list[i].pid())
		if err != nil {
			return 0, 0, err
		}
		nodes += used
	}
	for _, r := range crowds {
		used, err := memprof.CPUTime(r.crew.process.PID())
		if err != nil {
			return 0, 0, err
		}
		clients += used
	}
	return nodes, clients, nil
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	fanoutSubscribers = 40_000
	clusterFanRounds  = 20
	fanoutBar         = 0.5
	// fanoutGather is small against what a publication to so many takes.
	fanoutGather = 2 * time.Millisecond
)

// fanout publishes to subscribers at all nodes: to streams that listen for one
// resource, and to sessions, whose events have copies.
func (b *clusterBench) fanout(ctx context.Context) error {
	for _, listen := range []bool{true, false} {
		for _, mode := range []string{"async", "acked"} {
			if listen && mode == "acked" {
				continue // listen streams keep nothing: there is nothing to acknowledge
			}
			err := b.with(ctx, clusterNodes, []string{"--durability", mode}, func(ctx context.Context, c *nodes) error {
				return b.fan(ctx, c, listen, mode)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *clusterBench) fan(ctx context.Context, c *nodes, listen bool, mode string) error {
	limit, err := descriptorLimit()
	if err != nil {
		return err
	}
	total, rounds := fanoutSubscribers, clusterFanRounds
	if b.Quick {
		total, rounds = 2000, 3
	}
	each := min(total/len(c.list), limit-descriptorReserve)
	if each*len(c.list) < total {
		b.report.note("fanout: %s subscribers, not %s: the descriptor limit is %s", thousands(each*len(c.list)), thousands(total), thousands(limit))
	}
	what := fmt.Sprintf("%s sessions, %s", thousands(each*len(c.list)), mode)
	if listen {
		what = fmt.Sprintf("%s listen streams", thousands(each*len(c.list)))
	}
	b.progress.step("fanout: opening %s", what)
	crowds, err := b.crowds(ctx, c, each, listen)
	if err == nil {
		err = b.fanRounds(ctx, c, crowds, listen, rounds, what)
	}
	for _, r := range crowds {
		err = errors.Join(err, r.stop())
	}
	return err
}

// descriptorReserve is what a process needs beside its clients.
const descriptorReserve = 512

// crowds opens so many subscribers at each node, each node's in a process of
// their own.
func (b *clusterBench) crowds(ctx context.Context, c *nodes, each int, listen bool) (list []*roamers, err error) {
	for i := range c.list {
		r, err := hireRoamers(b.Self, c, b.Timeout)
		if err != nil {
			return list, err
		}
		list = append(list, r)
		r.gather = fanoutGather
		if listen {
			err = r.watch(ctx, i, each, nil)
		} else {
			err = r.enroll(ctx, i, each, true, func(done int) {
				b.progress.over("opening at %s: %s", c.list[i].name, thousands(done))
			})
		}
		if err != nil {
			return list, err
		}
	}
	step, cancel := b.step(ctx, "copying sessions")
	defer cancel()
	_, err = c.agreed(step, c.all(), len(c.list))
	return list, err
}

func (b *clusterBench) fanRounds(ctx context.Context, c *nodes, crowds []*roamers, listen bool, rounds int, what string) error {
	voice := newAnnouncer(c.list[0].http)
	defer voice.close()
	var heard, returned []time.Duration
	var nodes, clients time.Duration // processor time used before the first round that counts
	for round := range rounds + 1 {
		n := uint64(round + 1)
		if round == 1 {
			var err error
			if nodes, clients, err = spent(c, nil, crowds...); err != nil {
				return err
			}
		}
		start := time.Now()
		var err error
		if listen {
			_, err = voice.call(ctx, "touch", "uri", fanoutURI)
		} else {
			_, err = voice.broadcast(ctx, n)
		}
		back := time.Since(start)
		if err != nil {
			return fmt.Errorf("publishing to %s: %w", what, err)
		}
		last, err := lastHeard(ctx, crowds, n)
		if err != nil {
			return err
		}
		if round == 0 {
			continue // the first one finds everything cold
		}
		heard, returned = append(heard, last.Sub(start)), append(returned, back)
		if err := Sleep(ctx, calmPoll); err != nil {
			return err
		}
	}
	nodesAfter, clientsAfter, err := spent(c, nil, crowds...)
	if err != nil {
		return err
	}
	each := func(d time.Duration) string { return millis(d / time.Duration(rounds)) }
	b.report.note("fanout, %s: a publication takes %s of the nodes' and %s of the clients' processor time, of %d processors", what,
		each(nodesAfter-nodes), each(clientsAfter-clients), b.report.Machine.CPUs)
	b.report.times("fanout", what+": the last one has it", heard, fanoutBar)
	b.report.times("fanout", what+": the call that publishes returns", returned, noBar)
	return nil
}

// lastHeard waits until all have heard event n and returns when the last did.
func lastHeard(ctx context.Context, crowds []*roamers, n uint64) (last time.Time, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, r := range crowds {
		wg.Go(func() {
			at, failed := r.await(ctx, n)
			mu.Lock()
			defer mu.Unlock()
			if at.After(last) {
				last = at
			}
			err = errors.Join(err, failed)
		})
	}
	wg.Wait()
	return last, err
}

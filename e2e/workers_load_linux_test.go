package e2e

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// steady is a client that asks all the time and comes back when its connection
// breaks.
type steady struct {
	broke  time.Time // when it first noticed
	served time.Time // when it was answered after that
}

// run asks addr until ctx ends.
func (s *steady) run(ctx context.Context, addr string, first func()) error {
	const line = `{"jsonrpc":"2.0","id":1,"method":"echo","params":[]}`
	once := sync.OnceFunc(first)
	for ctx.Err() == nil {
		c, err := net.DialTimeout("tcp", addr, stepPatience)
		if err != nil {
			return err
		}
		stop := context.AfterFunc(ctx, func() { c.Close() })
		r := bufio.NewReader(c)
		for {
			if _, err = fmt.Fprintln(c, line); err == nil {
				_, err = r.ReadString('\n')
			}
			if err != nil {
				break
			}
			once()
			if !s.broke.IsZero() && s.served.IsZero() {
				s.served = time.Now()
			}
			pause := time.NewTimer(100 * time.Millisecond)
			select {
			case <-pause.C:
			case <-ctx.Done():
			}
			pause.Stop()
		}
		stop()
		c.Close()
		if ctx.Err() == nil && s.broke.IsZero() {
			s.broke = time.Now()
		}
	}
	return nil
}

// kill -9 of a worker under load: its clients are served again by the others.
func TestWorkerKilledUnderLoad(t *testing.T) {
	const workers, clients = 4, 2000
	n := startWorkers(t, workers)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	all := make([]steady, clients)
	errs := make(chan error, clients)
	var begun, running sync.WaitGroup
	begun.Add(clients)
	for i := range all {
		running.Go(func() { errs <- all[i].run(ctx, n.tcp, begun.Done) })
	}
	begun.Wait()
	pid := n.workers(t)[2]
	killed := time.Now()
	kill(t, pid, syscall.SIGKILL)
	n.whole(t, workers, pid)
	whole := time.Since(killed)
	eventually(t, "worker that takes its part", func() bool {
		return n.metric(t, "rookery_worker_process_connections") >= clients
	})
	cancel()
	running.Wait()
	for range clients {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	var took []time.Duration
	for _, s := range all {
		if !s.broke.IsZero() && !s.served.IsZero() {
			took = append(took, s.served.Sub(killed))
		}
	}
	slices.Sort(took)
	if len(took) == 0 || len(took) > clients/2 {
		t.Fatalf("%d of %d clients lost their connection", len(took), clients)
	}
	t.Logf("%d of %d clients lost their connection; served again after the kill: p50 %v, p99 %v, longest %v; worker replaced after %v",
		len(took), clients, took[len(took)/2], took[len(took)*99/100], took[len(took)-1], whole)
}

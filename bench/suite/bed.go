package suite

import (
	"context"
	"sync"
	"syscall"

	"github.com/rookery-server/rookery/bench"
)

// bed is a testbed that may be looked at while nodes end and start.
type bed struct {
	*bench.Testbed
	mu sync.Mutex // which processes there are
}

func (b *bed) PIDs(i int) ([]int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Testbed.PIDs(i)
}

func (b *bed) Kill(i int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Testbed.Kill(i)
}

func (b *bed) Signal(i int, sig syscall.Signal) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Testbed.Signal(i, sig)
}

func (b *bed) Shutdown(ctx context.Context, i int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Testbed.Shutdown(ctx, i)
}

func (b *bed) Start(i int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Testbed.Start(i)
}

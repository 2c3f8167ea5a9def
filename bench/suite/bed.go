package suite

import (
	"context"
	"sync"
	"syscall"
	"time"

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

// Kill is Testbed.Kill. It returns when that began: who looks at the processes
// may have kept us waiting.
func (b *bed) Kill(i int) (time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now(), b.Testbed.Kill(i)
}

// Signal is Testbed.Signal, and returns when that began, likewise.
func (b *bed) Signal(i int, sig syscall.Signal) (time.Time, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now(), b.Testbed.Signal(i, sig)
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

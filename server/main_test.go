package server

import (
	"testing"

	"github.com/panjf2000/ants/v2"
	"go.uber.org/goleak"
)

// TestMain fails when a test leaves a goroutine behind. netpoll's pollers are
// the process's: they are started on first use and live for ever. So are two
// goroutines of a pool that ants makes when it is imported; it is released
// here, so that whatever is left of a pool is ours.
func TestMain(m *testing.M) {
	ants.Release()
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/cloudwego/netpoll.(*defaultPoll).Wait"),
	)
}

package loop_test

import (
	"runtime"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails when a test leaves a goroutine behind. netpoll's pollers are
// the process's: they are started on first use and live for ever.
//
// A poller that waits in epoll_wait keeps its P until the runtime's monitor
// takes it away, after up to 10 ms. The clients of these tests share the
// process with the loops, so there must be more Ps than loops, or clients would
// be measured instead.
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(max(testLoops+2, runtime.GOMAXPROCS(0)))
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/cloudwego/netpoll.(*defaultPoll).Wait"),
	)
}

// testLoops is the number of loops of a group that does not say.
const testLoops = 2

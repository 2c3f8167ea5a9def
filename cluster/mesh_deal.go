package cluster

import (
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

const (
	preambleTimeout = time.Second
	// dealingMax bounds connections that are not dealt yet. At the bound the next
	// ones wait in the kernel.
	dealingMax = 256
	// dealPause is how long a listener that failed, for want of descriptors as a
	// rule, is left alone.
	dealPause = 50 * time.Millisecond
)

// ErrNoWorker says that the worker a connection is for is not running.
var ErrNoWorker = errors.New("cluster: there is no such worker")

// Deal serves the peer listener of a node of several processes until l is
// closed: it accepts, reads each connection's preamble and gives the connection
// to pass, which may duplicate and must not keep it. With ErrNoWorker the other
// end is told so, as RefuseWorker does. It returns when all of its goroutines
// have ended.
func Deal(l net.Listener, pass func(worker uint16, c net.Conn) error, log *slog.Logger) {
	room := make(chan struct{}, dealingMax)
	var dealing sync.WaitGroup
	defer dealing.Wait()
	for {
		room <- struct{}{}
		c, err := l.Accept()
		if err != nil {
			<-room
			if errors.Is(err, net.ErrClosed) {
				return
			}
			log.Warn("peer listener", "error", err)
			time.Sleep(dealPause)
			continue
		}
		dealing.Go(func() {
			deal(c, pass, log)
			<-room
		})
	}
}

// deal finds out whom one connection is for. What is no peer's is logged at debug
// level: whoever can reach the port can send anything.
func deal(c net.Conn, pass func(worker uint16, c net.Conn) error, log *slog.Logger) {
	worker, err := ReadPreamble(c, preambleTimeout)
	if err != nil {
		log.Debug("connection to the peer listener refused", "from", c.RemoteAddr().String(), "error", err)
		_ = c.Close() // nothing was written
		return
	}
	switch err := pass(worker, c); {
	case errors.Is(err, ErrNoWorker):
		log.Debug("a peer wants a worker that is not running", "from", c.RemoteAddr().String(), "worker", worker)
		_ = RefuseWorker(c) // it learns so, or that the connection is over
		return
	case err != nil:
		log.Warn("connection of a peer was not passed on", "from", c.RemoteAddr().String(), "worker", worker, "error", err)
	}
	_ = c.Close() // the worker has its own
}

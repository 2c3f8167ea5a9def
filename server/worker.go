package server

import (
	"sync"

	"github.com/rookery-server/rookery/loop"
	"github.com/rookery-server/rookery/mcp"
)

// worker is a job as its handlers see it. Replies gather in a buffer of its
// own, because once the connection is released that of the job is not ours.
// It serves one job at a time and is pooled between them.
type worker struct {
	s   *Server
	job *loop.Job
	out []byte // replies; owned by the job's goroutine

	mu       sync.Mutex // guards the following fields: a handler may wait in several goroutines
	away     int        // goroutines between Leave and Return
	released bool       // later records of the connection may run meanwhile
}

// keptBytesMax is the largest buffer that a pooled object keeps.
const keptBytesMax = 64 << 10

var _ mcp.Worker = (*worker)(nil)

// startWork returns a worker for j; stopWork takes it back.
func (s *Server) startWork(j *loop.Job) *worker {
	w := s.workers.Get().(*worker)
	w.s, w.job = s, j
	return w
}

// stopWork hands over the replies. A client that is gone needs none.
func (s *Server) stopWork(w *worker) {
	if len(w.out) > 0 {
		if w.isReleased() {
			_ = w.job.Conn.Write(w.out)
		} else {
			w.job.Out = append(w.job.Out, w.out...)
		}
	}
	w.out = w.out[:0]
	if cap(w.out) > keptBytesMax {
		w.out = nil
	}
	w.s, w.job, w.away, w.released = nil, nil, 0, false
	s.workers.Put(w)
}

// Flush implements mcp.Worker: it writes out behind the earlier replies of the
// connection and returns it emptied.
func (w *worker) Flush(out []byte) ([]byte, error) {
	w.s.metrics.pushed.Inc()
	if w.isReleased() {
		return out[:0], w.job.Conn.Write(out)
	}
	w.job.Out = append(w.job.Out, out...)
	return out[:0], w.job.Flush()
}

func (w *worker) isReleased() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.released
}

// Leave implements mcp.Worker. The first goroutine that leaves takes the job
// out of the count, the last that returns brings it back.
func (w *worker) Leave(release bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away == 0 {
		release = release && !w.released
		if err := w.job.Leave(release); err != nil {
			return err
		}
		w.released = w.released || release
	}
	w.away++
	return nil
}

// Return implements mcp.Worker.
func (w *worker) Return() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.away--; w.away == 0 {
		w.job.Return()
	}
}

package mcp

import (
	expiry "container/heap"
	"context"
	"crypto/rand"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/rookery-server/rookery/codec"
)

// taskStatus is where a task stands.
type taskStatus uint8

const (
	taskWorking taskStatus = iota // or waiting for input, if questions are open
	taskCompleted
	taskFailed
	taskCancelled
)

// taskOverhead is what a task costs beside the bytes of its client.
const taskOverhead = 512

// task is one task. Its fields are guarded by the store's lock unless they say
// otherwise.
type task struct {
	id      [16]byte      // immutable; the only thing that keeps others away from it
	created time.Time     // immutable
	keep    time.Duration // immutable; the policy's TTL
	poll    time.Duration // immutable
	updated time.Time
	expires time.Time // a terminal task goes, any other fails
	index   int       // in taskStore.byExpiry; -1 when it is out of it

	status  taskStatus
	running bool // the handler has not returned; until then the task stays
	cancel  context.CancelCauseFunc
	message string
	outcome []byte     // raw result or error object; its bytes never change
	asks    []*taskAsk // questions without an answer
	asked   int        // questions so far
	bytes   int64      // what it is charged for

	telling sync.Mutex // serialises notifications, so that the last is the latest
}

func (k *task) terminal() bool { return k.status != taskWorking }

// taskAsk is a question that waits for tasks/update.
type taskAsk struct {
	key     string // never used twice in one task
	request []byte // {"method":…,"params":…}
	answer  chan []byte
}

// taskStore holds the tasks of a server. It costs nothing until the first.
type taskStore struct {
	o TaskOptions // immutable

	mu       sync.Mutex
	byID     map[[16]byte]*task
	byExpiry taskHeap
	running  int
	bytes    int64
	idle     chan struct{} // closed when running is 0; nil if nobody waits
	stats    TaskStats
}

// taskHeap orders tasks by expiry.
type taskHeap []*task

func (h taskHeap) Len() int           { return len(h) }
func (h taskHeap) Less(i, j int) bool { return h[i].expires.Before(h[j].expires) }
func (h taskHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *taskHeap) Push(x any) {
	k := x.(*task)
	k.index = len(*h)
	*h = append(*h, k)
}

// Pop implements heap.Interface.
func (h *taskHeap) Pop() any {
	old := *h
	k := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	k.index = -1
	return k
}

// create adds a task that is about to run and charges it for size bytes.
func (t *taskStore) create(p TaskPolicy, size int64, cancel context.CancelCauseFunc) (*task, *codec.Error) {
	now := t.o.Now()
	k := &task{created: now, updated: now, keep: p.TTL, poll: p.Poll, running: true, cancel: cancel, bytes: size + taskOverhead}
	if k.keep == 0 {
		k.keep = t.o.TTL
	}
	if k.poll == 0 {
		k.poll = t.o.Poll
	}
	_, _ = rand.Read(k.id[:]) // never fails
	k.expires = now.Add(k.keep)
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.byID) >= t.o.Count || t.running >= t.o.Running || t.bytes+k.bytes > t.o.Bytes {
		t.stats.Refused++
		return nil, errTooManyTasks
	}
	if t.byID == nil {
		t.byID = make(map[[16]byte]*task)
	}
	t.byID[k.id] = k
	expiry.Push(&t.byExpiry, k)
	t.bytes += k.bytes
	t.running++
	t.stats.Created++
	return k, nil
}

// withdraw takes back a task that could not be started.
func (t *taskStore) withdraw(k *task) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.Created--
	t.stats.Refused++
	t.remove(k)
	t.left(k)
}

// remove forgets a task and what it is charged for. mu is held.
func (t *taskStore) remove(k *task) {
	delete(t.byID, k.id)
	if k.index >= 0 {
		expiry.Remove(&t.byExpiry, k.index)
	}
	t.bytes -= k.bytes
	k.bytes = 0
}

// left notes that the handler has returned. mu is held.
func (t *taskStore) left(k *task) {
	k.running, k.cancel = false, nil
	if t.running--; t.running == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

// end makes a task terminal; one that is already stays as it is. mu is held.
func (t *taskStore) end(k *task, status taskStatus, message string, outcome []byte) {
	if k.terminal() {
		return
	}
	for len(k.asks) > 0 {
		close(t.closeAsk(k, k.asks[0].key).answer)
	}
	k.status, k.message, k.outcome, k.updated = status, message, outcome, t.o.Now()
	switch status {
	case taskCompleted:
		t.stats.Completed++
	case taskFailed:
		t.stats.Failed++
	default:
		t.stats.Cancelled++
	}
}

// charge changes what k is charged for. mu is held.
func (t *taskStore) charge(k *task, n int64) {
	k.bytes += n
	t.bytes += n
}

// finish records what the handler made of its task. The result is kept for as
// long as the handler was given, from now on.
func (t *taskStore) finish(k *task, status taskStatus, message string, outcome []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.left(k)
	size := int64(taskOverhead) // the arguments are garbage now
	if !k.terminal() {
		size += int64(len(outcome) + len(message))
		if t.bytes-k.bytes+size > t.o.Bytes {
			t.stats.Dropped++
			size = taskOverhead
			status, message, outcome = taskFailed, errNoRoomForResult.Message, noRoomForResult
		}
		t.end(k, status, message, outcome)
		k.expires = k.updated.Add(k.keep)
		expiry.Fix(&t.byExpiry, k.index)
	}
	t.charge(k, size-k.bytes)
}

// cancelTask makes a task cancelled and tells its handler.
func (t *taskStore) cancelTask(id [16]byte) bool {
	t.mu.Lock()
	k := t.byID[id]
	if k == nil {
		t.mu.Unlock()
		return false
	}
	cancel := k.cancel
	if k.terminal() {
		cancel = nil
	}
	t.end(k, taskCancelled, "", nil)
	t.mu.Unlock()
	if cancel != nil {
		cancel(ErrCancelled) // outside the lock: it runs what others hung on the context
	}
	return true
}

// setMessage reports whether it changed anything.
func (t *taskStore) setMessage(k *task, message string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k.terminal() || k.message == message || t.bytes+int64(len(message)) > t.o.Bytes {
		return false
	}
	t.charge(k, int64(len(message)-len(k.message)))
	k.message, k.updated = message, t.o.Now()
	return true
}

// ask opens questions of a task that is not terminal, all or none.
func (t *taskStore) ask(k *task, requests [][]byte) ([]*taskAsk, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k.terminal() {
		return nil, errTaskOver
	}
	size := int64(0)
	for _, r := range requests {
		size += int64(len(r))
	}
	if t.bytes+size > t.o.Bytes {
		return nil, errTooManyTasks
	}
	t.charge(k, size)
	k.updated = t.o.Now()
	for _, r := range requests {
		k.asked++
		k.asks = append(k.asks, &taskAsk{key: "input-" + strconv.Itoa(k.asked), request: r, answer: make(chan []byte, 1)})
	}
	return slices.Clone(k.asks[len(k.asks)-len(requests):]), nil
}

// abandon closes those of asks that are open: nobody waits for them any more.
func (t *taskStore) abandon(k *task, asks []*taskAsk) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range asks {
		t.closeAsk(k, a.key)
	}
}

// closeAsk takes a question out of its task, nil if it is not open. mu is held.
func (t *taskStore) closeAsk(k *task, key string) *taskAsk {
	for i, a := range k.asks {
		if a.key == key {
			k.asks = append(k.asks[:i:i], k.asks[i+1:]...)
			t.charge(k, -int64(len(a.request)))
			k.updated = t.o.Now()
			return a
		}
	}
	return nil
}

// answer hands answers to those who wait for them; others are ignored, as the
// extension asks. It reports whether there is such a task.
func (t *taskStore) answer(id [16]byte, answers object) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.byID[id]
	if k == nil {
		return false
	}
	for {
		key, raw, more := answers.next()
		if !more {
			return true
		}
		if a := t.closeAsk(k, unescape(key)); a != nil {
			a.answer <- append([]byte(nil), raw...) // there is room for the only answer
		}
	}
}

// has reports whether there is such a task.
func (t *taskStore) has(id [16]byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.byID[id] != nil
}

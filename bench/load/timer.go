package load

import "container/heap"

// timer is something that is to happen later in a load process.
type timer struct {
	at    int64 // ns since the start
	due   int64 // of the call, for timerThink
	what  timed
	left  uint8  // calls of the burst, for timerThink
	index int32  // client or call
	gen   uint32 // of the call, for timerCall
}

// timed is what a timer is for.
type timed uint8

const (
	timerTry   timed = iota // a client that is away tries again
	timerCall               // a call that was turned away is asked again
	timerThink              // the next call of a burst is due
	timerShake              // a client's connection is to be ended
)

// timers is a heap: the earliest first. At most one timer per client that is
// away, bursting or to be shaken, and per call that waits.
type timers []timer

func (t timers) Len() int           { return len(t) }
func (t timers) Less(i, j int) bool { return t[i].at < t[j].at }
func (t timers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }

// Push is of heap.Interface; use add.
func (t *timers) Push(x any) { *t = append(*t, x.(timer)) }

// Pop is of heap.Interface; use due.
func (t *timers) Pop() any {
	n := len(*t) - 1
	x := (*t)[n]
	*t = (*t)[:n]
	return x
}

func (t *timers) add(x timer) { heap.Push(t, x) }

// due removes and returns the earliest timer if its time has come.
func (t *timers) due(now int64) (timer, bool) {
	if len(*t) == 0 || (*t)[0].at > now {
		return timer{}, false
	}
	return heap.Pop(t).(timer), true
}

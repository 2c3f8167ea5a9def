package loop

import (
	"os"
	"time"
)

// A Pacer lets groups of several processes that accept from one socket (see
// [Group.ListenFile]) take even shares. The group tells it what it holds and
// asks it before it accepts. Methods are called from several goroutines and
// must not block: all that is meant to stand behind them is shared memory.
type Pacer interface {
	// Add notes that n more connections are open, or fewer when n is negative.
	Add(n int)
	// Accepting notes whether the group takes connections at present: not
	// before Start, at its limits, or when it drains.
	Accepting(on bool)
	// Wait says how long to leave connections that wait to the other
	// processes; zero or less: accept now. The group waits at most PaceMax and
	// then takes a few without asking, so that nobody waits for a process that
	// is stuck.
	Wait() time.Duration
	// Last reports whether no other process accepts from the sockets any more,
	// nor will. A group that drains asks it after Accepting(false): the last one
	// has the kernel accept nothing more before it closes them. It is not asked
	// about sockets that the group has bound itself.
	Last() bool
}

const (
	// PaceMax is how long a group leaves a waiting connection to others.
	PaceMax = 10 * time.Millisecond
	// paceGrace is how many connections a group takes after it has waited in
	// vain, before it asks again: with PaceMax it is the rate at which one
	// process accepts for all when the others do not, and the price in evenness
	// when they were merely late.
	paceGrace = 32
)

// noPacer is the pacer of a group that shares its listeners with nobody.
type noPacer struct{}

func (noPacer) Add(int)             {}
func (noPacer) Accepting(bool)      {}
func (noPacer) Wait() time.Duration { return 0 }
func (noPacer) Last() bool          { return false } // nobody knows

// Bind opens a listening socket for [Group.ListenFile], here or in processes
// that inherit it. addr is as for [Group.Listen] and becomes the file's name.
// The caller owns the file and, when addr is a unix socket, the path: nobody
// else removes it.
//
// The file is in non-blocking mode and stays so: the mode belongs to the socket,
// and a process that cleared it would have the loops of all others block.
func Bind(addr string) (*os.File, error) { return bindFile(addr) }

package bench

import (
	"context"
	"fmt"
	"time"
)

// loadPiece is how long a control process that is to be busy works at a time:
// about as long as a server does for a few requests.
const loadPiece = 50 * time.Microsecond

// keepBusy keeps about share of a processor busy until ctx ends, in pieces of
// loadPiece, as a server is that waits and works in turns. Pieces are due on a
// schedule: one that is late is made up for. REQUIRES: 0 < share <= 1.
func keepBusy(ctx context.Context, share float64) {
	work := &spinner{}
	turns := work.turnsFor(loadPiece)
	every := time.Duration(float64(loadPiece) / share)
	due := time.Now()
	alarm := time.NewTimer(0)
	defer alarm.Stop()
	for {
		select {
		case <-alarm.C:
		case <-ctx.Done():
			return
		}
		work.spin(turns)
		due = due.Add(every)
		if behind := time.Now().Add(-time.Second); due.Before(behind) {
			due = behind // the machine has no room for so much: no more than a second is made up for
		}
		alarm.Reset(time.Until(due))
	}
}

// spinner uses a processor. Its state keeps the compiler from leaving that out.
type spinner struct{ x uint64 }

func (s *spinner) spin(turns int) {
	for i := range turns {
		s.x = s.x*6364136223846793005 + uint64(i)
	}
}

// turnsFor returns how many turns take d: by the fastest of a few tries, since
// others may run in between.
func (s *spinner) turnsFor(d time.Duration) int {
	const turns, tries = 20_000, 20
	fastest := time.Hour
	for range tries {
		began := time.Now()
		s.spin(turns)
		fastest = min(fastest, time.Since(began))
	}
	return max(1, int(turns*float64(d)/float64(max(fastest, 1))))
}

// checkShare says what is wrong with a share of a processor, if anything is.
func checkShare(share float64) error {
	if !(share >= 0 && share <= 1) {
		return fmt.Errorf("bench: a share of a processor is from 0 to 1, not %v", share)
	}
	return nil
}

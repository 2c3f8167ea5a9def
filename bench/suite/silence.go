package suite

import (
	"context"
	"syscall"

	"github.com/rookery-server/rookery/bench"
)

// silence stops all processes of a node: from the others' side that is a
// network that loses everything to and from it. Then it speaks again.
func (r *run) silence(ctx context.Context, who int) error {
	name := r.bed.Name(who)
	start, err := r.bed.Signal(who, syscall.SIGSTOP)
	if err != nil {
		return err
	}
	r.mark(true, "%s cut off", name)
	at, err := r.bed.Until(ctx, r.bed.Others(who), viewPoll, func(p *bench.ClusterPage) bool { return !bench.Serves(p.State(name)) })
	began, resumed := r.bed.Signal(who, syscall.SIGCONT)
	if err != nil {
		return err
	}
	if resumed != nil {
		return resumed
	}
	r.measured("network.silent", at.Sub(start).Seconds(), 1)
	start = began
	if at, err = r.bed.Agreed(ctx, r.bed.Others(), nodeCount); err != nil {
		return err
	}
	r.mark(false, "%s back", name)
	r.measured("network.healed", at.Sub(start).Seconds(), 1)
	return nil
}

package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// clusterWorkers is how many processes each node has when one of them is killed.
const clusterWorkers = 2

// worker kills one process of a node whose clients are at all its processes.
func (b *clusterBench) worker(ctx context.Context) error {
	return b.faults(ctx, fault{
		kind: "worker", args: []string{"--workers", strconv.Itoa(clusterWorkers)}, at: []int{0}, bar: servedBar,
		strike: func(_ context.Context, c *nodes) error {
			list, err := childrenOf(c.list[0].pid())
			if err != nil {
				return err
			}
			if len(list) < clusterWorkers {
				return fmt.Errorf("bench: node %s has %d processes, not %d", c.list[0].name, len(list), clusterWorkers)
			}
			return syscall.Kill(list[0], syscall.SIGKILL)
		},
	})
}

// childrenOf returns the processes whose parent is pid.
func childrenOf(pid int) (list []int, err error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("bench: %w", errors.Join(err, errNeedsLinux))
	}
	for _, e := range entries {
		child, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		text, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue // it has ended
		}
		// pid (name) state parent ...: a name may hold anything.
		at := strings.LastIndexByte(string(text), ')')
		fields := strings.Fields(string(text[at+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			list = append(list, child)
		}
	}
	return list, nil
}

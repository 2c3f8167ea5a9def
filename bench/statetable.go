package bench

import (
	"fmt"
	"strings"
)

// waiting prints the cost of handlers that wait.
func (t *table) waiting(w *WaitingResult) {
	if w == nil {
		return
	}
	t.line("\n%s tool calls wait for an answer of their client, one session each; then all are answered:", thousands(w.Clients))
	t.columns("runs\tbefore\twaiting\tafter\tbytes each\t\tworkers running\thandlers waiting\tgoroutines\tall answered in\tp99")
	t.cells(strings.Join([]string{
		fmt.Sprint(w.Runs), megabytes(w.Before.Median), megabytes(w.Waiting.Median), megabytes(w.After.Median),
		figure(w.Each.Median), between(w.Each), whole(w.Workers), whole(w.Handlers), whole(w.Goroutines),
		fmt.Sprintf("%.2f s", w.Seconds.Median), fmt.Sprintf("%.0f ms", float64(w.Latency.P99)/1e6),
	}, "\t"))
	t.flush()
}

// events prints what is retained for clients that may come back.
func (t *table) events(list []EventsResult) {
	if len(list) == 0 {
		return
	}
	t.line("\nSessions with an open stream, %d events of %d bytes retained for each:", list[0].Each, list[0].Size)
	t.columns("clients\tcount\truns\tbefore\tafter\tbytes a session\t\tevents\tbodies\tstore\tstore a session\tpublished in")
	for i := range list {
		e := &list[i]
		t.cells(strings.Join([]string{
			string(e.Kind), thousands(e.Clients), fmt.Sprint(e.Runs), megabytes(e.Before.Median), megabytes(e.After.Median),
			figure(e.Grown.Median), between(e.Grown), whole(e.Kept), whole(e.Bodies),
			megabytes(e.Store.Median), figure(e.Store.Median / float64(e.Clients)), fmt.Sprintf("%.2f s", e.Seconds.Median),
		}, "\t"))
	}
	t.flush()
}

// whole writes the median of a count.
func whole(s Spread) string { return thousands(int64(s.Median)) }

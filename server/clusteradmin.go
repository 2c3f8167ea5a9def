package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/rookery-server/rookery/cluster"
)

// moveRate is how many sessions a second an order to move them means unless it
// says.
const moveRate = 1000

// cluster answers GET /cluster. For a server that is alone the view is null.
func (a *admin) cluster(w http.ResponseWriter, _ *http.Request) {
	var r cluster.Report
	if n := a.s.node; n != nil {
		st := n.engine.Status()
		r = cluster.Report{Node: st.Self.Node, View: st.View, Processes: []cluster.Status{st}}
	}
	writeJSON(w, &r)
}

// drain answers POST /cluster/drain?rate=N when all sessions are elsewhere, and
// with undo=1 lets the node take sessions again.
func (a *admin) drain(w http.ResponseWriter, r *http.Request) {
	if a.s.node != nil && r.FormValue("undo") == "1" {
		if err := a.s.node.members.SetDraining(false); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(w, "ok")
		return
	}
	a.move(w, r, func(ctx context.Context, e *cluster.Engine, rate float64) error { return e.Drain(ctx, rate) })
}

// rebalance answers POST /cluster/rebalance?rate=N when it is done.
func (a *admin) rebalance(w http.ResponseWriter, r *http.Request) {
	a.move(w, r, func(ctx context.Context, e *cluster.Engine, rate float64) error { return e.Core().Rebalance(ctx, rate) })
}

// move moves sessions for as long as the client waits.
func (a *admin) move(w http.ResponseWriter, r *http.Request, order func(context.Context, *cluster.Engine, float64) error) {
	n := a.s.node
	if n == nil {
		http.Error(w, "this server is in no cluster", http.StatusConflict)
		return
	}
	rate := moveRate
	if text := r.FormValue("rate"); text != "" {
		var err error
		if rate, err = strconv.Atoi(text); err != nil || rate < 1 {
			http.Error(w, "rate must be a positive number of sessions a second", http.StatusBadRequest)
			return
		}
	}
	if !n.others() {
		http.Error(w, "there is no other node to move sessions to", http.StatusConflict)
		return
	}
	switch err := order(r.Context(), n.engine, float64(rate)); {
	case err == nil:
		fmt.Fprintln(w, "ok")
	case errors.Is(err, context.Canceled): // the client has gone
	default:
		http.Error(w, err.Error(), http.StatusConflict)
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/internal/fleet"
)

// moveRate is how many sessions a second an order to move them means unless it
// says.
const moveRate = 1000

// handle adds the cluster to the admin pages of a node.
func (w *crew) handle(a *fleet.Admin) {
	a.Handle("GET /cluster", "the cluster as this node sees it, as JSON", func(rw http.ResponseWriter, r *http.Request) { w.report(a, rw, r) })
	a.Handle("POST /cluster/drain", "", func(rw http.ResponseWriter, r *http.Request) { w.giveAway(a, rw, r) })
	a.Handle("POST /cluster/rebalance", "", func(rw http.ResponseWriter, r *http.Request) { w.move(a, rw, r, "/cluster/rebalance") })
}

// report answers GET /cluster with what each worker says. One that does not
// answer is left out.
func (w *crew) report(a *fleet.Admin, rw http.ResponseWriter, r *http.Request) {
	v := w.members.View()
	sum := cluster.Report{Node: v.Self, View: v, Processes: []cluster.Status{}}
	for _, one := range a.Get(r.Context(), "/cluster") {
		var part cluster.Report
		if one.Err == nil && one.Status == http.StatusOK && json.Unmarshal(one.Body, &part) == nil {
			sum.Processes = append(sum.Processes, part.Processes...)
		}
	}
	rw.Header().Set("Content-Type", "application/json")
	enc := json.NewEncoder(rw)
	enc.SetIndent("", "  ")
	_ = enc.Encode(&sum) // the client has gone
}

// giveAway answers POST /cluster/drain?rate=N when all sessions are on other
// nodes, and with undo=1 lets the node take sessions again.
func (w *crew) giveAway(a *fleet.Admin, rw http.ResponseWriter, r *http.Request) {
	if r.FormValue("undo") == "1" {
		if err := w.members.SetDraining(false); err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprintln(rw, "ok")
		return
	}
	w.move(a, rw, r, "/cluster/drain")
}

// move gives all workers an order to move sessions, for as long as the client
// waits. The rate is the node's: each gets its part.
func (w *crew) move(a *fleet.Admin, rw http.ResponseWriter, r *http.Request, path string) {
	rate := moveRate
	if text := r.FormValue("rate"); text != "" {
		var err error
		if rate, err = strconv.Atoi(text); err != nil || rate < 1 {
			http.Error(rw, "rate must be a positive number of sessions a second", http.StatusBadRequest)
			return
		}
	}
	rate = divideUp(rate, max(len(w.sup.Processes()), 1))
	var failed []string
	for _, one := range a.Ask(r.Context(), http.MethodPost, path+"?"+url.Values{"rate": {strconv.Itoa(rate)}}.Encode()) {
		switch {
		case one.Err != nil:
			failed = append(failed, fmt.Sprintf("worker %d: %v", one.Worker, one.Err))
		case one.Status != http.StatusOK:
			failed = append(failed, fmt.Sprintf("worker %d: %s", one.Worker, strings.TrimSpace(string(one.Body))))
		}
	}
	if len(failed) > 0 {
		http.Error(rw, strings.Join(failed, "\n"), http.StatusConflict)
		return
	}
	fmt.Fprintln(rw, "ok")
}

package bench

import "time"

// op names what a worker is asked to do.
type op string

const (
	opOpen  op = "open"   // bring the clients of Kind up to Count
	opBurst op = "burst"  // let all clients of Kind speak at once
	opLoad  op = "load"   // drive Load over open clients
	opFan   op = "fanout" // publish Count times to the clients of Watch
	opReply op = "reply"  // answer the questions of the clients of Waiting
	opKeep  op = "keep"   // publish Count events to each client of Kind
	opShut  op = "shut"   // end the clients of Kind
	opLeave op = "leave"  // end all clients of the server
	opCheck op = "check"  // are all idle clients still there?
)

// order is one line from the orchestrator to a worker. A worker serves one
// server at a time; an order with another Target leaves the last one.
type order struct {
	Op      op            `json:"op"`
	Target  Target        `json:"target"`
	Kind    Kind          `json:"kind,omitempty"`
	Count   int           `json:"count,omitempty"`
	Timeout time.Duration `json:"timeout_ns"`
	Load    *LoadOrder    `json:"load,omitempty"`
	Roam    *roamOrder    `json:"roam,omitempty"`
}

// answer is one line back. Lines with Final false report progress.
type answer struct {
	Final bool          `json:"final"`
	Done  int           `json:"done,omitempty"`
	Took  time.Duration `json:"took_ns,omitempty"`
	Error string        `json:"error,omitempty"`
	Burst *BurstResult  `json:"burst,omitempty"`
	Load  *LoadResult   `json:"load,omitempty"`
	Fan   *FanoutResult `json:"fanout,omitempty"`
	Roam  *roamAnswer   `json:"roam,omitempty"`
}

package cluster

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// PeerID names one process of the cluster, for as long as it runs. It is
// comparable.
type PeerID struct {
	Node        string `json:"node"`
	Worker      uint16 `json:"worker"`             // number within the node, from 0
	Incarnation uint64 `json:"incarnation,string"` // 64 random bits drawn at the start of the process; never 0
}

// String returns node and worker, such as "n1/0": what people call a peer. Two
// incarnations print alike.
func (id PeerID) String() string { return id.Node + "/" + strconv.Itoa(int(id.Worker)) }

// Compare orders peers by node, worker and incarnation; it is negative when id
// comes first.
func (id PeerID) Compare(than PeerID) int {
	return cmp.Or(strings.Compare(id.Node, than.Node), cmp.Compare(id.Worker, than.Worker),
		cmp.Compare(id.Incarnation, than.Incarnation))
}

// Peer is a process and where it is reached.
type Peer struct {
	PeerID

	Addr  string `json:"addr"`            // peer listener of its node, host:port
	Local string `json:"local,omitempty"` // unix socket of a worker of the same node; else ""
}

// NodeState is what is known of the life of a node or of one of its workers.
type NodeState uint8

// The states. Alive and Suspect nodes serve; Dead and Left ones do not.
const (
	Alive   NodeState = iota + 1 // heard of lately
	Suspect                      // gossip doubts it, or its links are silent: no verdict yet
	Dead                         // a verdict, which its return revokes
	Left                         // it said so
)

var stateNames = [...]string{Alive: "alive", Suspect: "suspect", Dead: "dead", Left: "left"}

// String returns the state in lower case.
func (s NodeState) String() string {
	if int(s) < len(stateNames) && stateNames[s] != "" {
		return stateNames[s]
	}
	return "state " + strconv.Itoa(int(s))
}

// Serves reports whether something in this state may hold sessions: it is
// alive, or only suspected not to be.
func (s NodeState) Serves() bool { return s == Alive || s == Suspect }

// MarshalText implements encoding.TextMarshaler.
func (s NodeState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *NodeState) UnmarshalText(text []byte) error {
	i := slices.Index(stateNames[:], string(text))
	if i <= 0 {
		return fmt.Errorf("unknown state %q", text)
	}
	*s = NodeState(i)
	return nil
}

// WorkerInfo is one process of a node.
type WorkerInfo struct {
	Worker      uint16    `json:"worker"`
	Incarnation uint64    `json:"incarnation,string"`
	State       NodeState `json:"state"` // Left does not occur
	// Gone says that it is dead because its link ended and nobody listens there.
	// A dead process that is not gone may only have been silent, and return.
	Gone bool `json:"gone,omitempty"`
	// Local is the unix socket on which workers of the same node reach it; only
	// views of that node have it.
	Local string `json:"local,omitempty"`
}

// Node is one member of the cluster.
type Node struct {
	Name        string       `json:"name"`
	Incarnation uint64       `json:"incarnation,string"` // of the process that gossips: the only worker or the supervisor
	Addr        string       `json:"addr"`               // peer listener, host:port
	Gossip      string       `json:"gossip"`             // host:port
	Admin       string       `json:"admin,omitempty"`    // host:port; "" when it has none
	Workers     []WorkerInfo `json:"workers"`            // by number; those that run or ran last
	State       NodeState    `json:"state"`
	// Draining says that the node gives its sessions away: it serves those it
	// has and gets no new copies.
	Draining bool `json:"draining,omitempty"`
	// Since is the wall-clock time of the last change of State, for people to
	// read. Nothing decides by it.
	Since time.Time `json:"since"`
}

// Status returns the state for people: "draining" for a node that serves and
// drains.
func (n *Node) Status() string {
	if n.Draining && n.State.Serves() {
		return "draining"
	}
	return n.State.String()
}

// Accepts reports whether new copies of sessions may be placed on the node.
func (n *Node) Accepts() bool { return n.State.Serves() && !n.Draining }

// View is the cluster as one node sees it at one moment. A View and all it
// refers to is immutable; whoever has one may keep it, from any goroutine.
type View struct {
	Version uint64 `json:"version"` // grows with each view of one process; says nothing across nodes
	Self    string `json:"self"`    // the node that sees
	// Searching says that there are other nodes which this one has not found yet.
	Searching bool `json:"searching,omitempty"`
	// Nodes is sorted by name and contains Self. Dead nodes, and those that
	// left, stay for Forget.
	Nodes []Node `json:"nodes"`
}

// Node returns the node of that name, nil when the view has none. The result
// must not be changed.
func (v *View) Node(name string) *Node {
	i, ok := slices.BinarySearchFunc(v.Nodes, name, func(n Node, name string) int { return strings.Compare(n.Name, name) })
	if !ok {
		return nil
	}
	return &v.Nodes[i]
}

// Peer returns where a process is reached, and its state: that of its node
// where this says more. A process that the view does not know, such as an
// incarnation that has been replaced, is Dead.
func (v *View) Peer(id PeerID) (Peer, NodeState) {
	n := v.Node(id.Node)
	if n == nil {
		return Peer{PeerID: id}, Dead
	}
	for i := range n.Workers {
		if w := &n.Workers[i]; w.Worker == id.Worker && w.Incarnation == id.Incarnation {
			return n.peer(w), max(n.State, w.State)
		}
	}
	return Peer{PeerID: id}, Dead
}

// Peers appends all processes that serve to dst, sorted by PeerID, the one that
// sees included.
func (v *View) Peers(dst []Peer) []Peer {
	for i := range v.Nodes {
		n := &v.Nodes[i]
		if !n.State.Serves() {
			continue
		}
		for j := range n.Workers {
			if n.Workers[j].State.Serves() {
				dst = append(dst, n.peer(&n.Workers[j]))
			}
		}
	}
	return dst
}

// Targets appends all processes to which there should be links to dst, sorted
// by PeerID: those that serve, and the dead ones that are remembered. Two that
// have declared each other dead while gossip went on hear of each other again
// only if one of them dials.
func (v *View) Targets(dst []Peer) []Peer {
	for i := range v.Nodes {
		n := &v.Nodes[i]
		if n.State == Left {
			continue
		}
		for j := range n.Workers {
			dst = append(dst, n.peer(&n.Workers[j]))
		}
	}
	return dst
}

func (n *Node) peer(w *WorkerInfo) Peer {
	id := PeerID{Node: n.Name, Worker: w.Worker, Incarnation: w.Incarnation}
	return Peer{PeerID: id, Addr: n.Addr, Local: w.Local}
}

// AppendView appends v as one line of JSON without the newline, for the worker
// processes of a node and for people.
func AppendView(dst []byte, v *View) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic("cluster: a view is always valid JSON: " + err.Error())
	}
	return append(dst, text...)
}

// ParseView reads what AppendView wrote. The view keeps nothing of p.
func ParseView(p []byte) (*View, error) {
	v := &View{}
	if err := json.Unmarshal(p, v); err != nil {
		return nil, fmt.Errorf("cluster: view: %w", err)
	}
	if err := v.check(); err != nil {
		return nil, fmt.Errorf("cluster: view: %w", err)
	}
	return v, nil
}

// check finds what would break the promises of View's methods.
func (v *View) check() error {
	for i := range v.Nodes {
		n := &v.Nodes[i]
		if i > 0 && v.Nodes[i-1].Name >= n.Name {
			return fmt.Errorf("node %q is out of order", n.Name)
		}
		if n.State < Alive || n.State > Left {
			return fmt.Errorf("node %q has no state", n.Name)
		}
		for j := range n.Workers {
			w := &n.Workers[j]
			if j > 0 && n.Workers[j-1].Worker >= w.Worker {
				return fmt.Errorf("worker %d of node %q is out of order", w.Worker, n.Name)
			}
			if w.State < Alive || w.State > Dead {
				return fmt.Errorf("worker %d of node %q has no state", w.Worker, n.Name)
			}
		}
	}
	if v.Node(v.Self) == nil {
		return errors.New("the node that sees is not in it")
	}
	return nil
}

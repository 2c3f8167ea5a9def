package main

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// config is every setting of a node. Fields are filled by the flags that
// register declares; the name of a flag is also the key in a config file and,
// in capitals with ROOKERY_ before it, the variable.
type config struct {
	tcp, http, admin string // listeners; empty: off

	node         string
	workers      workerCount
	gossip, peer string // empty: this node is alone
	join         []string
	advertise    string

	clusterName, clusterKey        string
	clusterCert, clusterKeyPEM, ca string // PEM files
	replicas                       int    // 0: all
	durability                     string
	ackTimeout                     time.Duration
	clusterGiven                   bool // some of it came from the user: see check

	loops          int // 0: one for two processors
	messageMax     int64
	connsMax       int // 0: as many as descriptors allow
	sessionsMax    int
	idleTimeout    time.Duration
	sessionIdle    time.Duration
	events         int
	eventBytes     int64
	eventAge       time.Duration
	eventBudget    int64
	keepAlive      time.Duration
	allowedOrigins []string

	drainTimeout time.Duration
	logFormat    string
	logLevel     string
}

const (
	loopsMax       = 128
	messageFloor   = 1 << 10
	messageCeiling = 1 << 30
	connsCeiling   = 1 << 24 // a handle has 24 bits for the slot
)

// register declares the settings with their defaults as flags in fs.
func (c *config) register(fs *pflag.FlagSet) {
	add := func(name, def, help string, v pflag.Value) {
		if err := v.Set(def); err != nil {
			panic(fmt.Sprintf("default of --%s: %v", name, err))
		}
		fs.Var(v, name, help)
	}
	add("tcp", "127.0.0.1:7600", "JSON-RPC 2.0 and MCP, one message a line; empty: off", address(&c.tcp))
	add("http", "127.0.0.1:7680", "MCP Streamable HTTP at /mcp; empty: off", address(&c.http))
	add("admin", "127.0.0.1:7690", "/metrics, health, /debug; empty: off; keep it private", address(&c.admin))

	add("node", "n1", "name of this node", text(&c.node, "name", checkName))
	add("workers", "1", "worker processes; auto: what conns-max, open files and processors ask for", workerCounts(&c.workers))
	add("gossip", "127.0.0.1:7701", "membership of the cluster, TCP and UDP; empty: this node is alone", address(&c.gossip))
	add("peer", "127.0.0.1:7700", "links to other nodes; empty: this node is alone", address(&c.peer))
	add("join", "", "gossip addresses of other nodes; names are resolved, file:PATH is read, at each attempt", list(&c.join, "HOST:PORT,...", checkJoin))
	add("advertise", "", "host under which others reach gossip and peer; empty: that of --gossip", text(&c.advertise, "host", checkAny))
	add("cluster-name", "rookery", "nodes of another name are refused", text(&c.clusterName, "name", checkName))
	add("cluster-key", "", "file with the key that all nodes share; empty: one of yours, made when it is missing", text(&c.clusterKey, "file", checkAny))
	add("cluster-cert", "", "certificate of this node for links (PEM), in the place of the key", text(&c.clusterCert, "file", checkAny))
	add("cluster-cert-key", "", "private key of cluster-cert (PEM)", text(&c.clusterKeyPEM, "file", checkAny))
	add("cluster-ca", "", "authorities that sign certificates of nodes (PEM)", text(&c.ca, "file", checkAny))
	add("replicas", "3", "nodes that hold each session, its home included; 0: all", count(&c.replicas, 0, 255))
	add("durability", "acked", "acked: a publication succeeds when copies hold it; async: copies follow", choice(&c.durability, "acked", "async"))
	add("ack-timeout", "5s", "time for copies to hold a publication before it fails", interval(&c.ackTimeout, 100*time.Millisecond))

	add("loops", "0", "event loops; 0: one for two processors, the rest is for handlers", count(&c.loops, 0, loopsMax))
	add("message-max", "16MiB", "largest message", size(&c.messageMax, messageFloor, messageCeiling))
	add("conns-max", "0", "most connections; 0: as many as descriptors allow", count(&c.connsMax, 0, connsCeiling))
	add("sessions-max", "1048576", "most MCP sessions", count(&c.sessionsMax, 1, connsCeiling))
	add("idle-timeout", "10m", "closes a connection silent for so long that carries no stream", interval(&c.idleTimeout, time.Second))
	add("session-idle", "30m", "forgets a session unused for so long that has no stream", interval(&c.sessionIdle, time.Second))
	add("events", "256", "events kept for a session whose client lost its stream; 0: none", count(&c.events, 0, 1<<16))
	add("event-bytes", "256KiB", "bytes of events kept for a session", size(&c.eventBytes, 1, 1<<30))
	add("event-age", "5m", "how long an event is kept", interval(&c.eventAge, time.Second))
	add("event-budget", "64MiB", "memory of the events of all sessions", size(&c.eventBudget, 1, 1<<40))
	add("keep-alive", "25s", "time between keep-alive comments on open streams", interval(&c.keepAlive, time.Second))
	add("allowed-origins", "", "origins of browsers served besides loopback", list(&c.allowedOrigins, "ORIGIN,...", checkOrigin))

	add("drain-timeout", "10s", "time for calls in flight to finish after SIGTERM", interval(&c.drainTimeout, 0))
	add("log-format", "text", "format of the log on standard error", choice(&c.logFormat, "text", "json"))
	add("log-level", "info", "least severe record that is logged", choice(&c.logLevel, "debug", "info", "warn", "error"))
}

// check refuses combinations that cannot be served. given reports whether a
// setting came from the user; what merely has its default is no request.
func (c *config) check(given func(name string) bool) error {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.workers > 1 && !workersSupported {
		refuse("workers %d: a node of several processes needs Linux; leave it out", c.workers)
	}
	for _, name := range []string{"gossip", "peer", "join", "cluster-key", "cluster-cert"} {
		c.clusterGiven = c.clusterGiven || given(name)
	}
	if (c.gossip == "") != (c.peer == "") {
		refuse("gossip and peer go together: both, or neither for a node that is alone")
	}
	if c.gossip == "" && len(c.join) > 0 {
		refuse("join needs gossip and peer")
	}
	if c.replicas == 1 && c.durability == "acked" {
		refuse("replicas 1 leaves no copy that could hold a publication: more replicas, or durability async")
	}
	if n := countSet(c.clusterCert, c.clusterKeyPEM, c.ca); n != 0 && n != 3 {
		refuse("cluster-cert, cluster-cert-key and cluster-ca go together")
	}
	if c.tcp == "" && c.http == "" {
		refuse("tcp and http are both off: nothing to serve")
	}
	taken := map[string]string{}
	for _, l := range c.listeners() {
		if other, dup := taken[l.addr]; dup && !portZero(l.addr) {
			refuse("%s and %s have the same address %s", other, l.name, l.addr)
		}
		taken[l.addr] = l.name
	}
	return errors.Join(errs...)
}

func countSet(texts ...string) (n int) {
	for _, t := range texts {
		if t != "" {
			n++
		}
	}
	return n
}

// listener is an address to bind and the setting it comes from.
type listener struct {
	name, addr, serves string
}

// listeners returns those that are on, in the order of the flags.
func (c *config) listeners() []listener {
	var on []listener
	for _, l := range []listener{
		{"tcp", c.tcp, "JSON-RPC 2.0 and MCP, one message a line"},
		{"http", c.http, "MCP Streamable HTTP at /mcp"},
		{"admin", c.admin, "metrics, health, profiles"},
	} {
		if l.addr == "" {
			continue
		}
		if l.name == "admin" && strings.HasPrefix(l.addr, ":") {
			l.addr = "127.0.0.1" + l.addr // the server keeps admin private unless a host is named
		}
		on = append(on, l)
	}
	return on
}

// messageMaxInt is messageMax for options that count in int.
func (c *config) messageMaxInt() int { return int(min(c.messageMax, math.MaxInt)) }

package server

import (
	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/mcp"
	"github.com/rookery-server/rookery/session"
)

// initTables makes what holds sessions, and joins it to the cluster.
func (s *Server) initTables() error {
	o := &s.opts
	table := session.Options{Max: o.SessionsMax, IdleTimeout: max(o.SessionIdle, 0), Class: classOf}
	events := session.EventsOptions{Count: o.Events.Count, Bytes: o.Events.Bytes, Age: o.Events.Age, Budget: o.Events.Budget}
	connect := o.connect
	if o.Cluster != nil {
		events.Peer = o.Cluster.Incarnation
		table.NewID = func() session.ID { return s.node.ids.draw() }
		connect = func(store cluster.Store) (core, error) {
			var err error
			if s.node, err = newClusterNode(s, store); err != nil {
				return nil, err
			}
			return s.node.engine.Core(), nil
		}
	}
	s.sessions, s.events = session.NewTable(table), session.NewEvents(events)
	clients := session.NewInterner(0, 0)
	if connect != nil {
		var err error
		if s.cluster, err = newClustering(s, clients, connect); err != nil {
			return err
		}
	}
	s.mcp = mcp.New(s.mcpOptions(clients))
	return nil
}

// mcpOptions returns what the protocol needs of this server and its options.
func (s *Server) mcpOptions(clients *session.Interner) mcp.Options {
	o := &s.opts
	m := mcp.Options{
		Name: o.Name, Version: o.Version, Title: o.Title, Instructions: o.Instructions,
		Description: o.Description, WebsiteURL: o.WebsiteURL, Icons: o.Icons,
		ListCache: o.ListCache, StateKey: o.StateKey,
		Logger: o.Logger, Host: host{s}, Sessions: sessions{s.sessions, s.cluster, &s.metrics.lookups}, Calls: s.rpc, Context: s.base,
		Intern:     func(client string) uint32 { return clients.Intern([]byte(client)) },
		ClientName: clients.Name,
		PageSize:   o.PageSize, SubscriptionsMax: o.SubscriptionsMax, AskTimeout: o.AskTimeout,
		AllowedOrigins: o.AllowedOrigins, Middleware: o.Middleware, Backend: o.MCPBackend, Tasks: o.Tasks,
	}
	m.Tasks.Run = s.pool.Submit // which does not block: the pool has room for all of them
	if o.Events.Count >= 0 {
		m.Events = s.events
	}
	if s.cluster != nil {
		m.Replicas, m.Fetch = s.cluster, s.cluster.fetch
	}
	if s.node != nil {
		m.Lapsed = s.node.engine.Lapsed
		m.Doubt, m.Gathering = s.node.engine.Core().Doubt, s.node.engine.Core().Gathering
		if s.node.o.Acked {
			m.Copied = s.node.engine.Core().Copied
		}
	}
	return m
}

func (s *Server) initPools() {
	s.calls.New = func() any { return new(Call) }
	s.workers.New = func() any { return new(worker) }
	s.exchanges.New = func() any { return new(exchange) }
	s.buffers.New = func() any { return new(buffer) }
	s.rpcs.New = func() any { return new(mcp.RPC) }
}

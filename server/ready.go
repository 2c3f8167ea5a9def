package server

import "github.com/rookery-server/rookery/codec"

// readyPath is where the listener for HTTP tells balancers, which do not reach
// the admin listener, whether it wants new clients.
const readyPath = "/readyz"

// giving reports whether the node gives its sessions away: it serves on, and
// wants no new clients. It does not block.
func (n *clusterNode) giving() bool {
	v := n.members.View()
	if v == nil {
		return false
	}
	self := v.Node(n.self.Node)
	return self != nil && self.Draining
}

// wanted reports whether the server takes requests and wants new clients: not
// before it has met the others, who have most of the sessions there are.
func (s *Server) wanted() bool {
	return s.ready() && (s.node == nil || s.node.met() && !s.node.giving())
}

func (n *clusterNode) met() bool { return n.engine.Core().Met() }

// readiness is the response of the listener for HTTP, without its date. That it
// runs needs no word: it is closed when the server stops.
func (p *web) readiness(r *codec.Request) (res codec.Response, text string) {
	res, text = codec.Response{Status: 200}, "ready\n"
	switch {
	case r.Method != codec.MethodGet && r.Method != codec.MethodHead:
		res.Status, text = 405, "GET it\n"
		res.Extra = codec.AppendHeader(nil, "Allow", "GET, HEAD")
	case p.s.node != nil && !p.s.node.met():
		res.Status, text = 503, "joining\n"
	case p.s.node != nil && p.s.node.giving():
		res.Status, text = 503, "draining\n"
	}
	return res, text
}

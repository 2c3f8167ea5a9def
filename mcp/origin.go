package mcp

import (
	"net/netip"
	"net/url"
)

// allowed reports whether a browser page of that origin may call. Without this
// check any page could reach a server on its visitor's own machine, by DNS
// rebinding for one (transports, security warning). Loopback origins are the
// user's own.
func (s *Server) allowed(origin []byte) bool {
	if _, ok := s.origins[string(origin)]; ok {
		return true
	}
	if _, ok := s.origins["*"]; ok {
		return true
	}
	u, err := url.Parse(string(origin))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	host := u.Hostname()
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

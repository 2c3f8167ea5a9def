package server

import "github.com/rookery-server/rookery/memprof"

// memory accounts for the memory of the process, with the components that the
// server knows. The error says that the system does not tell the resident
// memory.
func (s *Server) memory() (memprof.Report, error) {
	st := s.Stats()
	return memprof.Take(st.Loop.Open,
		memprof.Component{Name: "connection slots", Count: st.Loop.Open, Bytes: st.Loop.SlotBytes},
		memprof.Component{Name: "loop tables", Count: int64(st.Loop.Loops), Bytes: st.Loop.TableBytes},
		memprof.Component{Name: "connection buffers", Count: st.Loop.Attached, Bytes: st.Loop.InHeld + st.Loop.OutHeld},
		memprof.Component{Name: "client roster", Count: st.Clients, Bytes: s.roster.bytes.Load()},
		memprof.Component{Name: "sessions", Count: int64(st.Sessions), Bytes: s.sessions.Bytes()},
		memprof.Component{Name: "events", Count: st.Events.Events, Bytes: st.Events.Bytes},
		memprof.Component{Name: "subscriptions", Count: int64(st.MCP.Subscriptions), Bytes: st.MCP.SubscriptionBytes},
	)
}

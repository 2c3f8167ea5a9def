package session

// Snapshot is one session as another node needs it.
type Snapshot struct {
	Record Record // without Stream, Topics, Log, LastUsed and Client, which are of one table
	Client string // name and version of the client
	URIs   []string
	Log    LogSnapshot
}

// LogSnapshot is the log of one session.
type LogSnapshot struct {
	Last   uint32    // last number drawn
	Floors [2]uint32 // highest number lost, by kind of stream
	Events []Event   // in order of Seq
}

// Event is one event of a log.
type Event struct {
	Seq, Stream uint32
	Body        []byte
}

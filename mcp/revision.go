package mcp

// Revision is a revision of the protocol. Later ones are greater.
type Revision uint8

// The revisions this package speaks.
const (
	RevisionUnknown Revision = iota
	Revision20241105
	Revision20250326
	Revision20250618
	Revision20251125
	Revision20260728
)

// Capabilities says what a client can do, as bits.
type Capabilities uint16

// What a client may declare.
const (
	CapRoots Capabilities = 1 << iota
	CapRootsListChanged
	CapSampling
	CapSamplingTools
	CapSamplingContext
	CapElicitation
	CapElicitationForm
	CapElicitationURL
	CapTasks
	CapExperimental
)

// Level is the severity of a log message (RFC 5424). The zero Level means that
// the client asked for none.
type Level uint8

// The levels, least severe first.
const (
	LevelDebug Level = iota + 1
	LevelInfo
	LevelNotice
	LevelWarning
	LevelError
	LevelCritical
	LevelAlert
	LevelEmergency
)

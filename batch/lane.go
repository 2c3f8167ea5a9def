package batch

import "strconv"

// Lane is one of the independent streams of messages on a link. Messages of a
// lane arrive in order; lanes overtake each other.
type Lane uint8

// The lanes, in the order in which they are sent.
const (
	Control Lane = iota // small and urgent: verdicts, acknowledgements of the application
	Data                // deltas, requests, replies, events
	Bulk                // filling a node that joined; gives way to the others
)

// Lanes is the number of lanes.
const Lanes = 3

// String returns the lane's name in logs and metrics.
func (lane Lane) String() string {
	switch lane {
	case Control:
		return "control"
	case Data:
		return "data"
	case Bulk:
		return "bulk"
	default:
		return "lane " + strconv.Itoa(int(lane))
	}
}

// Options says how a link behaves. A zero value stands for its default.
type Options struct {
	// Local and Remote are the incarnations of the two processes. A link lives
	// for this pair.
	Local, Remote uint64
	// Cap is how many bytes of messages that are not acknowledged a lane holds
	// before Append says ErrFull. Default 256 KiB, 16 MiB, 16 MiB. A lane that
	// holds nothing takes any message. The memory is up to twice that when
	// messages of about half a frame leave the pieces of the queue half empty.
	Cap [Lanes]int
	// Hard is the bound of AppendMust, in bytes. Default four times Cap.
	Hard [Lanes]int
	// Window is how many bytes of messages that this end has not processed it
	// lets the other have under way. Default 256 KiB, 4 MiB, 4 MiB.
	Window [Lanes]int
	// FrameMax is how many bytes of messages go into one frame, counted before
	// compression. Default, and most, 64 KiB. A longer message travels in a frame
	// of its own.
	FrameMax int
	// MessageMax is the longest message, in bytes. Default 17 MiB. Both ends
	// have to have the same.
	MessageMax int
	// Features are those this end offers. Default AllFeatures; NoFeatures
	// offers none.
	Features Features
}

// Features is a set of optional parts of the protocol. Two ends use those that
// both offer.
type Features uint64

// The features of version 1.
const (
	FeatureS2      Features = 1 << iota // frames compressed with S2
	FeatureZstd                         // frames compressed with Zstandard
	FeatureHuffman                      // frames compressed with S2 and a Huffman code; includes FeatureS2
	FeatureNotes                        // messages of the cluster that name sessions by handles; see SPEC.md
	FeatureRuns                         // messages of the cluster that bring one event to many sessions; see SPEC.md
	FeatureForks                        // a fork behind a session of the cluster that moves; see SPEC.md

	// NoFeatures stands in Options for the empty set.
	NoFeatures Features = 1 << 63
	// AllFeatures is all that this implementation knows.
	AllFeatures = FeatureS2 | FeatureZstd | FeatureHuffman | FeatureNotes | FeatureRuns | FeatureForks
)

const (
	frameMax          = 64 << 10 // of a frame with more than one message
	defaultMessageMax = 17 << 20
	hardFactor        = 4
)

var (
	defaultCap    = [Lanes]int{Control: 256 << 10, Data: 16 << 20, Bulk: 16 << 20}
	defaultWindow = [Lanes]int{Control: 256 << 10, Data: 4 << 20, Bulk: 4 << 20}
)

func (o Options) withDefaults() Options {
	for lane := range Lanes {
		o.Cap[lane] = orDefault(o.Cap[lane], defaultCap[lane])
		o.Hard[lane] = max(orDefault(o.Hard[lane], hardFactor*o.Cap[lane]), o.Cap[lane])
		o.Window[lane] = orDefault(o.Window[lane], defaultWindow[lane])
	}
	o.FrameMax = min(orDefault(o.FrameMax, frameMax), frameMax)
	o.MessageMax = orDefault(o.MessageMax, defaultMessageMax)
	if o.Features == 0 {
		o.Features = AllFeatures
	}
	o.Features = o.Features.closed()
	return o
}

// and returns the features that both ends offer.
func (f Features) and(g Features) Features { return f.closed() & g.closed() }

// closed returns f with what its features include.
func (f Features) closed() Features {
	if f&FeatureHuffman != 0 {
		f |= FeatureS2
	}
	return f & AllFeatures
}

func orDefault(v, def int) int {
	if v <= 0 {
		return def
	}
	return v
}

package cluster

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
)

// MembersOptions say who a node is and where it finds the others.
type MembersOptions struct {
	// Node is the name, unique in the cluster: 1 to 64 letters, digits, '.',
	// '_' or '-'. Required.
	Node string
	// Incarnation is that of the process that gossips; 0 draws one.
	Incarnation uint64
	// Gossip is the address to gossip on, TCP and UDP, HOST:PORT. Port 0 takes
	// a free one. Required.
	Gossip string
	// Advertise is the host, or HOST:PORT, under which others reach Gossip.
	// Default: that of Gossip or, where that is unspecified, a private address
	// of the machine.
	Advertise string
	// Peer is the address of the peer listener and Admin that of the admin
	// endpoint, as others reach them. A host that is empty or unspecified stands
	// for the one gossip advertises. Peer is required; Admin may be "".
	Peer, Admin string
	// Join says where to look for the cluster: HOST:PORT, HOST an address or a
	// name that is resolved with each attempt, or file:PATH, a file with one
	// HOST:PORT on each line, read with each attempt. The node's own address is
	// skipped. Empty for the first node of a cluster.
	Join []string
	// Label keeps clusters apart that reach each other: nodes with another one
	// are refused.
	Label string
	// Keys encrypt gossip with AES-GCM; 16, 24 or 32 bytes each. The first
	// encrypts, all decrypt. Required, unless Plaintext.
	Keys [][]byte
	// Plaintext lets gossip run without keys: whoever reaches the port can then
	// claim to be a member.
	Plaintext bool
	// Workers are the processes to announce, by number. nil announces worker 0
	// with Incarnation; a supervisor that has not started any yet gives an empty
	// list, not nil.
	Workers []WorkerInfo
	// Detector has the times of the verdicts.
	Detector DetectorOptions
	// Logger hears of joins, verdicts and what keeps a node from joining.
	// Default: nobody.
	Logger *slog.Logger
	// Resolver looks names of Join up. Default: net.DefaultResolver.
	Resolver *net.Resolver
}

const nodeNameMax = 64

// checkNodeName keeps names that need no quoting anywhere: they stand in file
// names, labels of metrics and URLs.
func checkNodeName(name string) error {
	if name == "" || len(name) > nodeNameMax {
		return fmt.Errorf("cluster: node name %q: 1 to %d characters are needed", name, nodeNameMax)
	}
	for _, c := range []byte(name) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return fmt.Errorf("cluster: node name %q: only letters, digits, '.', '_' and '-' are allowed", name)
		}
	}
	return nil
}

func (o *MembersOptions) check() error {
	if err := checkNodeName(o.Node); err != nil {
		return err
	}
	for _, addr := range []string{o.Gossip, o.Peer} {
		if _, _, err := splitAddr(addr); err != nil {
			return fmt.Errorf("cluster: %w", err)
		}
	}
	if o.Admin != "" {
		if _, _, err := splitAddr(o.Admin); err != nil {
			return fmt.Errorf("cluster: %w", err)
		}
	}
	if len(o.Keys) == 0 && !o.Plaintext {
		return errors.New("cluster: gossip needs a key; without one anybody who reaches its port could claim to be a member")
	}
	if o.Incarnation == 0 {
		o.Incarnation = NewIncarnation()
	}
	if o.Workers == nil {
		o.Workers = []WorkerInfo{{Worker: 0, Incarnation: o.Incarnation}}
	}
	o.Workers = slices.Clone(o.Workers)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	return nil
}

// NewIncarnation draws the incarnation of a process, which is not 0.
func NewIncarnation() uint64 {
	for {
		var p [8]byte
		_, _ = rand.Read(p[:]) // never fails
		if n := binary.BigEndian.Uint64(p[:]); n != 0 {
			return n
		}
	}
}

// reachable returns addr with the host of gossip where it has none of its own.
func reachable(addr, gossip string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		if host, _, err = net.SplitHostPort(gossip); err != nil {
			return addr
		}
	}
	return net.JoinHostPort(host, port)
}

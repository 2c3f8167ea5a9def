package main

import (
	"encoding/binary"
	"errors"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/internal/fleet"
)

// What a supervisor and its workers tell each other about the cluster, over the
// control channel of internal/fleet.
const (
	// supervisor: the text of a key file, empty for a node in no cluster; the
	// first frame to a process
	frameKeys = fleet.KindUser + iota
	// supervisor: one byte, 1 once the cluster was found, and cluster.AppendView;
	// not before the last one was answered with frameSeen
	frameView
	frameSeen     // worker
	frameEvidence // worker: see appendSighting
	frameDraining // worker: one byte, 1 if the node is to take no more sessions
)

// sighting is what a link of a worker showed of a process.
type sighting struct {
	of   cluster.PeerID
	what cluster.Evidence
}

// appendSighting appends kind, worker, incarnation and the name of the node with
// its length; numbers are big endian. Names have at most 64 bytes.
func appendSighting(dst []byte, s *sighting) []byte {
	dst = append(dst, byte(s.what))
	dst = binary.BigEndian.AppendUint16(dst, s.of.Worker)
	dst = binary.BigEndian.AppendUint64(dst, s.of.Incarnation)
	dst = append(dst, byte(len(s.of.Node)))
	return append(dst, s.of.Node...)
}

const sightingHead = 12

var errFrame = errors.New("a frame between supervisor and worker is cut short")

// eachSighting calls f for each of those in p.
func eachSighting(p []byte, f func(sighting)) error {
	for len(p) > 0 {
		if len(p) < sightingHead || len(p) < sightingHead+int(p[11]) {
			return errFrame
		}
		end := sightingHead + int(p[11])
		f(sighting{
			what: cluster.Evidence(p[0]),
			of: cluster.PeerID{
				Node: string(p[sightingHead:end]), Worker: binary.BigEndian.Uint16(p[1:]), Incarnation: binary.BigEndian.Uint64(p[3:]),
			},
		})
		p = p[end:]
	}
	return nil
}

// appendViewFrame appends the payload of frameView.
func appendViewFrame(dst []byte, joined bool, v *cluster.View) []byte {
	if joined {
		return cluster.AppendView(append(dst, 1), v)
	}
	return cluster.AppendView(append(dst, 0), v)
}

func parseViewFrame(p []byte) (joined bool, v *cluster.View, err error) {
	if len(p) == 0 {
		return false, nil, errFrame
	}
	v, err = cluster.ParseView(p[1:])
	return p[0] == 1, v, err
}

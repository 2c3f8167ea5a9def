package server

import (
	"time"

	"github.com/VictoriaMetrics/metrics"

	wire "github.com/rookery-server/rookery/batch" // batch is JSON-RPC's here
	"github.com/rookery-server/rookery/cluster"
)

// clusterCounters are the metrics of forwarding that this package counts itself.
type clusterCounters struct {
	forwarded *metrics.Counter // requests sent to other peers
	served    *metrics.Counter // requests served for them
	refused   [refusals]*metrics.Counter
	acks      *histogram // from a publication's end here until copies had it
}

// refusals is one more than the greatest cluster.Refusal.
const refusals = int(cluster.RefusedLost) + 1

var refusalNames = [refusals]string{
	cluster.RefusedUnknown: "unknown", cluster.RefusedUnavailable: "unavailable",
	cluster.RefusedBusy: "busy", cluster.RefusedLost: "lost",
}

func newClusterCounters(set *metrics.Set) (c clusterCounters) {
	c.forwarded = set.NewCounter(`rookery_cluster_requests_forwarded_total`)
	c.served = set.NewCounter(`rookery_cluster_requests_served_total`)
	for i, name := range refusalNames {
		if name != "" {
			c.refused[i] = set.NewCounter(`rookery_cluster_requests_refused_total{cause="` + name + `"}`)
		}
	}
	c.acks = newHistogram("rookery_cluster_replication_lag_seconds", "", ackBounds)
	return c
}

// acked notes how long copies took to have a publication.
func (c *clusterCounters) acked(d time.Duration) { c.acks.observe(d) }

// ackBounds are the upper bounds of buckets of replication lag.
var ackBounds = []time.Duration{
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2500 * time.Microsecond,
	5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond,
	250 * time.Millisecond, 500 * time.Millisecond, time.Second, 2500 * time.Millisecond, 5 * time.Second,
}

// laneNames are the values of the label lane.
var laneNames = [wire.Lanes]string{"control", "data", "bulk"}

// writeCluster writes what the cluster counts, from one snapshot.
func (p page) writeCluster(s *Server) {
	p.gauge("rookery_cluster_remote_connections", int64(s.cluster.remotes.len()))
	p.gauge("rookery_cluster_forwards", int64(s.cluster.forwards.len()))
	p.gauge("rookery_cluster_foreign_handlers", int64(s.cluster.foreign.running()))
	p.gauge("rookery_cluster_foreign_queue", int64(s.cluster.foreign.len()))
	if s.node == nil {
		return
	}
	st := s.node.engine.Status()
	p.members(st.View)
	p.gauge(`rookery_cluster_sessions{role="home"}`, int64(st.Homes))
	p.gauge(`rookery_cluster_sessions{role="copy"}`, int64(st.Copies))
	p.gauge("rookery_cluster_filled", oneIf(st.Filled))
	p.gauge("rookery_cluster_publications_pending", int64(st.Pending))
	p.decisions(&st.Stats)
	s.cluster.count.acks.write(p)
	p.links(st.Links)
}

func oneIf(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (p page) members(v *cluster.View) {
	var count [cluster.Left + 1]int64
	version := uint64(0)
	if v != nil {
		version = v.Version
		for i := range v.Nodes {
			count[v.Nodes[i].State]++
		}
	}
	for state := cluster.Alive; state <= cluster.Left; state++ {
		p.sample("rookery_cluster_nodes", "state", state.String(), count[state])
	}
	p.counter("rookery_cluster_views_total", int64(version))
}

func (p page) decisions(st *cluster.Stats) {
	for _, c := range []struct {
		name string
		n    uint64
	}{
		{"rookery_cluster_takeovers_total", st.Takeovers}, {"rookery_cluster_fenced_total", st.Fenced}, {"rookery_cluster_lapses_total", st.Lapses},
		{"rookery_cluster_events_merged_total", st.Merged}, {`rookery_cluster_sessions_moved_total{direction="out"}`, st.HandedOver},
		{`rookery_cluster_sessions_moved_total{direction="in"}`, st.Arrived}, {"rookery_cluster_publications_total", st.Published},
		{"rookery_cluster_publications_not_held_total", st.NotHeld}, {"rookery_cluster_publications_congested_total", st.Congested},
		{"rookery_cluster_publications_repeated_total", st.Refused}, {"rookery_cluster_publications_replayed_total", st.Replayed},
		{"rookery_cluster_publications_malformed_total", st.Malformed}, {"rookery_cluster_sessions_filled_total", st.Filled},
		{"rookery_cluster_partitions_refilled_total", st.Refills}, {"rookery_cluster_partitions_repaired_total", st.Repaired},
		{"rookery_cluster_copies_collected_total", st.Collected}, {"rookery_cluster_no_room_total", st.NoRoom},
	} {
		p.counter(c.name, int64(c.n))
	}
}

// links writes the sums over all links, by lane: a label for each peer would
// grow with every restart of one.
func (p page) links(links []cluster.LinkStatus) {
	var connected, broken, filling int64
	var sum [wire.Lanes]wire.LaneStats
	var checksums uint64
	for i := range links {
		l := &links[i]
		switch {
		case l.Connected:
			connected++
		case l.Alive:
			broken++
		}
		filling += int64(l.Filling)
		checksums += l.Traffic.Checksums
		for lane := range sum {
			addLane(&sum[lane], &l.Traffic.Lane[lane])
		}
	}
	p.gauge(`rookery_cluster_links{state="connected"}`, connected)
	p.gauge(`rookery_cluster_links{state="broken"}`, broken)
	p.gauge("rookery_cluster_partitions_filling", filling)
	p.counter("rookery_cluster_frames_damaged_total", int64(checksums))
	for _, c := range []struct {
		name  string
		value func(*wire.LaneStats) uint64
	}{
		{"rookery_cluster_link_messages_sent_total", func(s *wire.LaneStats) uint64 { return s.Messages }},
		{"rookery_cluster_link_messages_received_total", func(s *wire.LaneStats) uint64 { return s.Received }},
		{"rookery_cluster_link_messages_resent_total", func(s *wire.LaneStats) uint64 { return s.Resent }},
		{"rookery_cluster_link_messages_duplicate_total", func(s *wire.LaneStats) uint64 { return s.Duplicates }},
		{"rookery_cluster_link_messages_refused_total", func(s *wire.LaneStats) uint64 { return s.Refused }},
		{"rookery_cluster_link_frames_sent_total", func(s *wire.LaneStats) uint64 { return s.Frames }},
		{"rookery_cluster_link_frames_received_total", func(s *wire.LaneStats) uint64 { return s.ReceivedFrames }},
		{"rookery_cluster_link_sent_raw_bytes_total", func(s *wire.LaneStats) uint64 { return s.Raw }},
		{"rookery_cluster_link_sent_wire_bytes_total", func(s *wire.LaneStats) uint64 { return s.Wire }},
		{"rookery_cluster_link_received_raw_bytes_total", func(s *wire.LaneStats) uint64 { return s.ReceivedRaw }},
		{"rookery_cluster_link_received_wire_bytes_total", func(s *wire.LaneStats) uint64 { return s.ReceivedWire }},
	} {
		for lane := range sum {
			p.sample(c.name, "lane", laneNames[lane], int64(c.value(&sum[lane])))
		}
	}
	for lane := range sum {
		p.sample("rookery_cluster_acks_outstanding", "lane", laneNames[lane], int64(sum[lane].Outstanding))
	}
	for lane := range sum {
		p.sample("rookery_cluster_unacknowledged_bytes", "lane", laneNames[lane], int64(sum[lane].PendingBytes))
	}
}

func addLane(to, s *wire.LaneStats) {
	to.Messages += s.Messages
	to.Received += s.Received
	to.Resent += s.Resent
	to.Duplicates += s.Duplicates
	to.Refused += s.Refused
	to.Frames += s.Frames
	to.ReceivedFrames += s.ReceivedFrames
	to.Raw += s.Raw
	to.Wire += s.Wire
	to.ReceivedRaw += s.ReceivedRaw
	to.ReceivedWire += s.ReceivedWire
	to.Outstanding += s.Outstanding
	to.PendingBytes += s.PendingBytes
}

package server

import (
	"github.com/VictoriaMetrics/metrics"

	"github.com/rookery-server/rookery/cluster"
)

// clusterCounters are the metrics of forwarding that this package counts itself.
type clusterCounters struct {
	forwarded *metrics.Counter // requests sent to other peers
	served    *metrics.Counter // requests served for them
	refused   [refusals]*metrics.Counter
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
	return c
}

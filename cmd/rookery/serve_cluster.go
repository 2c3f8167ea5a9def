package main

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/rookery-server/rookery/cluster"
	"github.com/rookery-server/rookery/server"
)

// clusterOptions returns the node's part in a cluster, nil if it is alone. By
// default a node can be joined by others of the same user; when that is not
// possible, and the user asked for nothing of it, the node serves alone.
func (c *config) clusterOptions(ctx context.Context, log *slog.Logger) (*server.ClusterOptions, error) {
	if c.gossip == "" {
		return nil, nil
	}
	o, err := c.clusterIdentity()
	if err == nil && c.clusterGiven {
		err = awaitFree(ctx, c.clusterListeners(), bindPatience, func(note string) { log.Warn(note) })
	} else if err == nil {
		err = awaitFree(ctx, c.clusterListeners(), 0, func(string) {})
	}
	if err != nil && !c.clusterGiven {
		log.Warn("this node serves alone", "because", err, "remedy", "give --gossip and --peer, or empty ones to say that it is to be alone")
		return nil, nil
	}
	return o, err
}

// clusterIdentity reads the keys and certificates.
func (c *config) clusterIdentity() (*server.ClusterOptions, error) {
	path := c.clusterKey
	if path == "" {
		var err error
		if path, err = userKey(); err != nil {
			return nil, fmt.Errorf("no key for the cluster: %w; make one with 'rookery cluster keygen FILE' and give it with --cluster-key", err)
		}
	}
	keys, err := cluster.ReadKeys(path)
	if err != nil {
		return nil, err
	}
	o, err := c.clusterPart(keys)
	if err != nil {
		return nil, err
	}
	o.Gossip, o.Peer, o.Advertise, o.Join = c.gossip, c.peer, c.advertise, c.join
	return o, nil
}

// clusterPart returns what all processes of a node have in common. Without keys
// they are linked with each other only.
func (c *config) clusterPart(keys *cluster.Keys) (*server.ClusterOptions, error) {
	o := &server.ClusterOptions{
		Name: c.clusterName, Node: c.node, Keys: keys, Replicas: c.replicas, Acked: c.durability == "acked", AckTimeout: c.ackTimeout,
	}
	if o.Replicas == 0 {
		o.Replicas = -1
	}
	if keys != nil && c.clusterCert != "" {
		var err error
		if o.TLS, err = (cluster.CertFiles{Cert: c.clusterCert, Key: c.clusterKeyPEM, CA: c.ca}).TLS(); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// clusterListeners are the addresses that other nodes speak to.
func (c *config) clusterListeners() []listener {
	return []listener{{"gossip", c.gossip, "membership of the cluster"}, {"peer", c.peer, "links to other nodes"}}
}

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"

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
		err = c.clusterPortsFree()
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
	var identity *tls.Config
	if c.clusterCert != "" {
		if identity, err = (cluster.CertFiles{Cert: c.clusterCert, Key: c.clusterKeyPEM, CA: c.ca}).TLS(); err != nil {
			return nil, err
		}
	}
	replicas := c.replicas
	if replicas == 0 {
		replicas = -1
	}
	return &server.ClusterOptions{
		Name: c.clusterName, Node: c.node, Gossip: c.gossip, Peer: c.peer, Advertise: c.advertise, Join: c.join,
		Keys: keys, TLS: identity, Replicas: replicas, Acked: c.durability == "acked", AckTimeout: c.ackTimeout,
	}, nil
}

// clusterListeners are the addresses that other nodes speak to.
func (c *config) clusterListeners() []listener {
	return []listener{{"gossip", c.gossip, "membership of the cluster"}, {"peer", c.peer, "links to other nodes"}}
}

// clusterPortsFree reports what keeps the cluster's addresses from being bound.
func (c *config) clusterPortsFree() error {
	var errs []error
	for _, l := range c.clusterListeners() {
		ln, err := net.Listen("tcp", l.addr)
		if err == nil {
			err = ln.Close()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s: %w", l.name, err))
		}
	}
	return errors.Join(errs...)
}

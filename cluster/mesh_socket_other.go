//go:build !linux && !darwin

package cluster

import "net"

func limitUnsent(net.Conn) {}

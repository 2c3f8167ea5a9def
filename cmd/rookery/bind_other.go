//go:build !linux

package main

import (
	"context"
	"net"
)

// tryBind reports why addr cannot be bound, if so.
func tryBind(ctx context.Context, addr string) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return ln.Close()
}

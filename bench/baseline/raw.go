package main

import (
	"context"
	"net"

	"github.com/cloudwego/netpoll"
)

const bufferSize = 4096

func serveStd(l net.Listener) error {
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go echo(c)
	}
}

// echo returns what c sends until c fails or ends.
func echo(c net.Conn) {
	defer func() { _ = c.Close() }()
	buffer := make([]byte, bufferSize)
	for {
		n, err := c.Read(buffer)
		if err != nil {
			return
		}
		if _, err := c.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func serveNetpoll(l net.Listener) error {
	converted, err := netpoll.ConvertListener(l)
	if err != nil {
		return err
	}
	loop, err := netpoll.NewEventLoop(echoNetpoll)
	if err != nil {
		return err
	}
	return loop.Serve(converted)
}

func echoNetpoll(_ context.Context, c netpoll.Connection) error {
	r, w := c.Reader(), c.Writer()
	in, err := r.Next(r.Len())
	if err != nil {
		return err
	}
	out, err := w.Malloc(len(in))
	if err != nil {
		return err
	}
	copy(out, in)
	if err := r.Release(); err != nil {
		return err
	}
	return w.Flush()
}

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// listenLow listens on a port below the range of source ports: nobody takes it by
// chance when it is free again.
func listenLow(host string) (net.Listener, error) {
	err := errors.New("no try")
	for range 100 {
		var ln net.Listener
		if ln, err = net.Listen("tcp", fmt.Sprintf("%s:%d", host, 10000+rand.IntN(10000))); !errors.Is(err, syscall.EADDRINUSE) {
			return ln, err
		}
	}
	return nil, err
}

// TestTryBindAcceptsNobody: who connects while a port is tried is refused, and not
// accepted and reset.
func TestTryBindAcceptsNobody(t *testing.T) {
	ln, err := listenLow("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	var tries atomic.Int64
	stop := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := tryBind(t.Context(), addr); err != nil {
				done <- err
				return
			}
			tries.Add(1)
		}
	}()
	for n := 0; n < 500 || tries.Load() < 500; n++ {
		select {
		case err := <-done:
			t.Fatal("try: ", err)
		default:
		}
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("after %d tries: %v, want refused", tries.Load(), err)
		}
	}
	close(stop)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestTryBindAddresses: all that a node can listen on, and what is taken.
func TestTryBindAddresses(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "localhost", "", "[::1]", "[::]"} {
		ln, err := listenLow(host)
		if err != nil {
			if strings.HasPrefix(host, "[") {
				continue // no IPv6 on this host
			}
			t.Fatal(err)
		}
		_, port, err := net.SplitHostPort(ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		addr := net.JoinHostPort(strings.Trim(host, "[]"), port)
		if err := tryBind(t.Context(), addr); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("%s is taken: %v", addr, err)
		}
		ln.Close()
		if err := tryBind(t.Context(), addr); err != nil {
			t.Errorf("%s is free: %v", addr, err)
		}
	}
	sa, err := sockaddr(unix.AF_INET6, "[fe80::1%7]:80")
	if in6, ok := sa.(*unix.SockaddrInet6); err != nil || !ok || in6.ZoneId != 7 || in6.Port != 80 {
		t.Errorf("a zone by number: %+v, %v", sa, err)
	}
	sa, err = sockaddr(unix.AF_INET, "[::]:80")
	if in4, ok := sa.(*unix.SockaddrInet4); err != nil || !ok || in4.Addr != [4]byte{} || in4.Port != 80 {
		t.Errorf("all addresses without IPv6: %+v, %v", sa, err)
	}
	for bad, family := range map[string]int{"no-port": unix.AF_INET, "[fe80::1%no-such-zone]:80": unix.AF_INET6, "[::1]:80": unix.AF_INET} {
		if _, err := sockaddr(family, bad); err == nil {
			t.Errorf("%s is an address", bad)
		}
	}
	if err := bind(-1, "127.0.0.1:80"); !errors.Is(err, unix.EBADF) {
		t.Errorf("no descriptor: %v", err)
	}
}

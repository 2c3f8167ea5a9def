package main

import (
	"context"
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln
}

// A port that becomes free within the patience is waited for, with one note.
func TestAwaitFreeWaits(t *testing.T) {
	ln := listen(t)
	notes := 0
	err := awaitFree(t.Context(), []listener{{name: "tcp", addr: ln.Addr().String()}}, time.Minute, func(string) {
		if notes++; notes == 1 {
			ln.Close()
		}
	})
	if err != nil || notes != 1 {
		t.Errorf("error %v after %d notes, want none after 1", err, notes)
	}
}

func TestAwaitFreeGivesUp(t *testing.T) {
	ls := []listener{{name: "tcp", addr: listen(t).Addr().String()}}
	err := awaitFree(t.Context(), ls, 0, func(string) {})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("error %v, want EADDRINUSE", err)
	}
	cause := errors.New("signal")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if err := awaitFree(ctx, ls, time.Minute, func(string) {}); !errors.Is(err, cause) {
		t.Errorf("error %v, want the cause of the end", err)
	}
}

// Other errors are not waited for; port 0 and unix sockets are not tried.
func TestAwaitFreeOtherErrors(t *testing.T) {
	note := func(s string) { t.Errorf("waits: %s", s) }
	if err := awaitFree(t.Context(), []listener{{name: "tcp", addr: "192.0.2.1:1"}}, time.Minute, note); !errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Errorf("error %v, want EADDRNOTAVAIL", err)
	}
	if err := awaitFree(t.Context(), []listener{{addr: "unix:/nowhere/x"}, {addr: "192.0.2.1:0"}}, 0, note); err != nil {
		t.Error(err)
	}
}

func TestHolderSaysWho(t *testing.T) {
	for want, h := range map[string]holder{
		"process 7 (cat -)":         {pid: 7, command: "cat -", state: "LISTEN"},
		"a process of another user": {state: "LISTEN"},
		"a connection in TIME_WAIT, which the kernel keeps for a minute": {state: "TIME_WAIT"},
	} {
		if got := h.String(); got != want {
			t.Errorf("%+v: %q, want %q", h, got, want)
		}
	}
}

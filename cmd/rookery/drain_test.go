package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestDrain(t *testing.T) {
	broken := errors.New("broken")
	for _, c := range []struct {
		name     string
		shutdown func(context.Context) error
		signal   bool
		want     string // of the error; empty: none
		took     time.Duration
	}{
		{"at once", func(context.Context) error { return nil }, false, "", 0},
		{"in time", func(context.Context) error { time.Sleep(9 * time.Second); return nil }, false, "", 9 * time.Second},
		{"cut", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, false, "drain-timeout 10s passed; the rest was cut", 10 * time.Second},
		{"error", func(context.Context) error { return broken }, false, "broken", 0},
		{"forced", func(ctx context.Context) error { <-ctx.Done(); time.Sleep(time.Hour); return nil }, true, "second signal (interrupt)", 0},
		{"hung", func(context.Context) error { time.Sleep(time.Hour); return nil }, false, "a handler does not return", 12 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			signals := make(chan os.Signal, 1)
			if c.signal {
				signals <- syscall.SIGINT
			}
			begin := time.Now()
			err := drain(10*time.Second, c.shutdown, signals, slog.New(slog.DiscardHandler))
			if took := time.Since(begin); took != c.took {
				t.Errorf("%s: took %v, want %v", c.name, took, c.took)
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s: error %v, want %q", c.name, err, c.want)
			}
			time.Sleep(2 * time.Hour) // lets what hangs end
		})
	}
}

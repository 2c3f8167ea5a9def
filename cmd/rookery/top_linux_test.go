package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rookery-server/rookery/cluster"
)

// openPseudoTerminal returns both ends of a terminal.
func openPseudoTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

func resize(t *testing.T, f *os.File, columns, rows uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(f.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows}); err != nil {
		t.Fatal(err)
	}
}

// A terminal is taken over, painted on, painted anew when its size changes, and
// given back.
func TestTopOnATerminal(t *testing.T) {
	nodes := fakeCluster(t, cluster.Alive, cluster.Alive)
	master, slave := openPseudoTerminal(t)
	resize(t, master, 100, 8)
	var seen strings.Builder
	// until reads what the terminal got, until that is there.
	until := func(text string) string {
		t.Helper()
		buf := make([]byte, 4096)
		for !strings.Contains(seen.String(), text) {
			n, err := master.Read(buf)
			if err != nil {
				t.Fatalf("%v before %q in %q", err, text, seen.String())
			}
			seen.Write(buf[:n])
		}
		all := seen.String()
		seen.Reset()
		return all
	}

	if _, ok := openScreen(slave, []string{"TERM=dumb"}); ok {
		t.Error("a dumb terminal is painted on")
	}
	if _, ok := openTerminal(&seen, nil); ok {
		t.Error("a string is a terminal")
	}
	s, ok := openScreen(slave, []string{"TERM=xterm", "NO_COLOR=1"})
	if !ok {
		t.Fatal("a terminal is not taken for one")
	}
	v := topView{every: time.Hour}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	resized := make(chan os.Signal, 1)
	done := make(chan error, 1)
	go func() { done <- v.loop(ctx, newWatch([]string{nodes[0].addr()}, time.Minute), resized, slave, s.show) }()

	small := until("make the terminal taller")
	if !strings.HasPrefix(small, enterScreen) || strings.Contains(small, "\x1b[1m") || strings.Contains(small, "VERSION") {
		t.Errorf("eight lines without color: %q", small)
	}
	resize(t, master, 240, 40)
	resized <- unix.SIGWINCH
	if large := until("v0.4.0"); !strings.Contains(large, "UP  VERSION") {
		t.Errorf("a large terminal: %q", large)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	s.close()
	until(leaveScreen)
}

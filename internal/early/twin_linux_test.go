package early

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	envVictim = "EARLY_VICTIM"
	clients   = 300
)

func TestMain(m *testing.M) {
	if os.Getenv(envVictim) != "" {
		victim(os.Getenv(envVictim))
		return
	}
	os.Exit(m.Run())
}

// victim accepts clients, holds a twin of the first one's connection if it is to,
// and waits to be killed.
func victim(how string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	println := func(s string) { _, _ = io.WriteString(os.Stdout, s+"\n") }
	println(l.Addr().String())
	var twin Twin
	var conns []net.Conn
	for range clients {
		c, err := l.Accept()
		if err != nil {
			panic(err)
		}
		if len(conns) == 0 && how == "twin" {
			twin.Hold(c)
		}
		conns = append(conns, c)
	}
	println("all")
	_, _ = io.Copy(io.Discard, os.Stdin) // until the test ends, however it does
	for _, c := range conns {
		_ = c.Close()
	}
}

// endings kills a victim and returns the order in which its clients, numbered as
// they came, heard of it.
func endings(t *testing.T, how string) []int {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envVictim+"="+how)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killed := false
	defer func() {
		if !killed {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("the victim said nothing")
	}
	addr, err := net.ResolveTCPAddr("tcp", lines.Text())
	if err != nil {
		t.Fatal(err)
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(epoll)
	for i := range clients {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		to := unix.SockaddrInet4{Port: addr.Port, Addr: [4]byte(addr.IP.To4())}
		if err := unix.Connect(fd, &to); err != nil {
			t.Fatal(err)
		}
		e := unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLONESHOT, Fd: int32(i)}
		if err := unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &e); err != nil {
			t.Fatal(err)
		}
	}
	if !lines.Scan() || lines.Text() != "all" {
		t.Fatal("the victim has not accepted all")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	killed = true
	var order []int
	events := make([]unix.EpollEvent, clients)
	for deadline := time.Now().Add(30 * time.Second); len(order) < clients; {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d clients have heard", len(order), clients)
		}
		n, err := unix.EpollWait(epoll, events, 100)
		if err != nil && !errors.Is(err, unix.EINTR) {
			t.Fatal(err)
		}
		for _, e := range events[:max(n, 0)] {
			order = append(order, int(e.Fd))
		}
	}
	return order
}

// The first client has the lowest number, so it hears last of the death, unless
// there is a twin of its connection.
func TestTwinEndsFirst(t *testing.T) {
	if last := slices.Index(endings(t, "none"), 0); last != clients-1 {
		t.Skipf("this kernel closes files in another order: the first client was number %d of %d to hear", last+1, clients)
	}
	if at := slices.Index(endings(t, "twin"), 0); at != 0 {
		t.Errorf("the client with the twin heard as number %d of %d", at+1, clients)
	}
}

// A connection with a twin ends when both are closed, in any order, and a closed
// twin holds nothing.
func TestClose(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, early := range []bool{true, false} {
		ours, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		var twin Twin
		twin.Hold(ours)
		if twin.fd < lowest(1<<10)-1 {
			t.Errorf("the twin has number %d", twin.fd)
		}
		if early {
			twin.Close()
		}
		ours.Close()
		twin.Close()
		twin.Hold(theirs)
		if twin.fd != 0 {
			t.Error("a closed twin holds a descriptor")
		}
		if err := theirs.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := theirs.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("the other end reads %v, want its end", err)
		}
		theirs.Close()
	}
	var twin Twin
	twin.Hold(errors.New("no socket"))
	twin.Close()
}

func TestLowest(t *testing.T) {
	for limit, want := range map[uint64]int{1024: 960, 20_000: 18_750, 1 << 30: 122_880} {
		if got := lowest(limit); got != want {
			t.Errorf("with %d descriptors twins are from %d, want %d", limit, got, want)
		}
	}
}

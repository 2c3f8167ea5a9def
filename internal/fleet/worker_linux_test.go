package fleet

import (
	"errors"
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func TestIdentity(t *testing.T) {
	id := identity{number: 3, workers: 4, incarnation: 0xfeed, names: []string{"http", "tcp"}}
	got, err := parseIdentity([]string{"A=b", id.String()})
	if err != nil || got.String() != id.String() {
		t.Errorf("%v, %v; want %v", got, err, id)
	}
	if _, err := parseIdentity([]string{"A=b"}); !errors.Is(err, ErrNotWorker) {
		t.Errorf("no identity: %v", err)
	}
	for _, bad := range []string{"", "1", "1/2", "1/2/3", "a/2/3/", "2/2/3/", "-1/2/3/", "0/0/3/", "0/1025/3/", "0/1/x/"} {
		if _, err := parseIdentity([]string{envWorker + "=" + bad}); !errors.Is(err, errIdentity) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := Join([]string{"A=b"}); !errors.Is(err, ErrNotWorker) {
		t.Errorf("join: %v", err)
	}
}

// TestInbox: what nobody accepts is closed at the bound; closing ends Accept.
func TestInbox(t *testing.T) {
	b := newInbox()
	var others []net.Conn
	for range inboxSize + 1 {
		ours, theirs := net.Pipe()
		b.put(ours)
		others = append(others, theirs)
	}
	if _, err := others[inboxSize].Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("beyond the bound: %v", err)
	}
	for range inboxSize - 1 {
		c, err := b.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	b.Close()
	b.Close()
	if _, err := b.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %v", err)
	}
	late, other := net.Pipe()
	b.put(late)
	for _, c := range []net.Conn{others[inboxSize-1], other} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			t.Errorf("not accepted: %v", err)
		}
	}
	for _, c := range others {
		c.Close()
	}
}

// TestMessageWithoutDescriptor: the way goes on behind it.
func TestMessageWithoutDescriptor(t *testing.T) {
	ours, file, err := pair(unix.SOCK_SEQPACKET)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	fc, err := net.FileConn(file)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	theirs, ok := fc.(*net.UnixConn)
	if !ok {
		t.Fatalf("a %T", fc)
	}
	defer theirs.Close()
	if _, err := ours.Write([]byte{TagPeer}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := takePassed(theirs); !errors.Is(err, errNoDescriptor) {
		t.Errorf("without: %v", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := pass(ours, TagPeer, client.(*net.TCPConn)); err != nil {
		t.Fatal(err)
	}
	tag, c, err := takePassed(theirs)
	if err != nil || tag != TagPeer {
		t.Fatalf("tag %c, %v", tag, err)
	}
	if c.LocalAddr().String() != client.LocalAddr().String() {
		t.Errorf("passed %v, got %v", client.LocalAddr(), c.LocalAddr())
	}
	c.Close()
	ours.Close()
	if _, _, err := takePassed(theirs); err == nil {
		t.Error("a connection over a way that is closed")
	}
}

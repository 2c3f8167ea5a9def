package loop_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rookery-server/rookery/loop"
)

// TestAddresses: IPv4, IPv6, both at once and unix sockets.
func TestAddresses(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		for _, addr := range []string{"127.0.0.1:0", "[::1]:0", ":0", "localhost:0", "unix:" + filepath.Join(t.TempDir(), "s")} {
			t.Run(strings.Split(addr, "/")[0], func(t *testing.T) {
				if strings.HasPrefix(addr, "[") {
					l, err := net.Listen("tcp", addr)
					if err != nil {
						t.Skip("no IPv6 on this host: ", err)
					}
					_ = l.Close()
				}
				p, conns := opened(echoLine)
				_, at := newGroupAt(t, portable, loop.Options{}, addr, p)
				c := dial(t, at)
				c.send("a\n")
				c.expect("a\n")
				got := recv(t, conns).RemoteAddr()
				if a, ok := c.LocalAddr().(*net.TCPAddr); ok {
					if want := a.AddrPort(); got.Addr() != want.Addr().Unmap() || got.Port() != want.Port() {
						t.Errorf("remote address %v, want %v", got, want)
					}
				} else if got.IsValid() {
					t.Errorf("remote address %v of a unix socket", got)
				}
			})
		}
	})
}

// TestUnixSocketFile: a file that a dead process left is replaced, one that is
// served is refused, one that is no socket is left alone, and ours is removed.
func TestUnixSocketFile(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		path := filepath.Join(t.TempDir(), "s")
		stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		stale.SetUnlinkOnClose(false)
		_ = stale.Close()
		g, _ := newGroupAt(t, portable, loop.Options{}, "unix:"+path, &proto{step: echoLine})
		c := dial(t, path)
		c.send("a\n")
		c.expect("a\n")
		if _, err := g.Listen("unix:"+path, &proto{step: echoLine}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("listening on a live socket: %v", err)
		}
		d := dial(t, path)
		d.send("a\n")
		d.expect("a\n")
		g.Close()
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("socket file after close: %v", err)
		}
	})
}

func TestUnixSocketIsNoOtherFile(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		path := filepath.Join(t.TempDir(), "precious")
		if err := os.WriteFile(path, []byte("data"), 0o600); err != nil {
			t.Fatal(err)
		}
		g, _ := newGroup(t, portable, loop.Options{}, &proto{step: echoLine})
		if _, err := g.Listen("unix:"+path, &proto{step: echoLine}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("listening on a file: %v", err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != "data" {
			t.Errorf("the file is %q, %v", b, err)
		}
	})
}

// TestListenErrors name the address.
func TestListenErrors(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		g, addr := newGroup(t, portable, loop.Options{}, &proto{step: echoLine})
		for _, bad := range []string{addr, "127.0.0.1:99999", "no-port", "unix:/nonexistent/dir/s", "203.0.113.7:1"} {
			a, err := g.Listen(bad, &proto{step: echoLine})
			if err == nil {
				t.Errorf("listen on %s: bound %v", bad, a)
			} else if !strings.Contains(err.Error(), strings.TrimPrefix(bad, "unix:")) {
				t.Errorf("listen on %s: the error does not say so: %v", bad, err)
			}
		}
	})
}

// TestTwoListeners serve two protocols in one group.
func TestTwoListeners(t *testing.T) {
	each(t, func(t *testing.T, portable bool) {
		g, addr := newGroup(t, portable, loop.Options{}, &proto{step: echoLine})
		second, err := g.Listen("127.0.0.1:0", &proto{step: func(t *loop.Turn) loop.Verdict {
			v := echoLine(t)
			if v == loop.Next {
				t.Out = append([]byte("second "), t.Out...)
			}
			return v
		}})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			a, b := dial(t, addr), dial(t, second.String())
			a.send("a\n")
			b.send("b\n")
			a.expect("a\n")
			b.expect("second b\n")
		}
	})
}

// TestConnsMax: at the bound accepting pauses; those who wait are served when
// others leave.
func TestConnsMax(t *testing.T) {
	const bound = 5
	each(t, func(t *testing.T, portable bool) {
		g, addr := newGroup(t, portable, loop.Options{ConnsMax: bound}, &proto{step: echoLine})
		var clients []*client
		for range 3 * bound {
			c := dial(t, addr)
			c.send("a\n")
			clients = append(clients, c)
		}
		for i, c := range clients {
			c.expect("a\n")
			if n := g.Stats().Open; n > bound {
				t.Errorf("%d open, the bound is %d", n, bound)
			}
			if i < bound-1 {
				continue // the first few stay until the bound is reached
			}
			until(t, "accepting pauses", func() bool { return i > bound || g.Stats().AcceptOff > 0 })
			_ = clients[i-bound+1].Close()
		}
	})
}

package server

import (
	"net"
	"testing"
)

// TestListenersAreInherited: sockets bound by somebody else are served in the
// place of addresses, by several servers at once.
func TestListenersAreInherited(t *testing.T) {
	eachBackend(t, func(t *testing.T, o Options) {
		f, err := Bind("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		o.Listeners.TCP = f
		var all [2]*Server
		for i := range all {
			if o.Listeners.Admin, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
			all[i] = startServer(t, o, testMethods)
			if a, b := all[i].AdminAddr(), o.Listeners.Admin.Addr(); a.String() != b.String() {
				t.Errorf("admin at %v, want %v", a, b)
			}
			if status, _, _ := get(t, all[i], "/readyz"); status != 200 {
				t.Errorf("/readyz: %d", status)
			}
		}
		addr := all[1].TCPAddr().String()
		if first := all[0].TCPAddr().String(); first != addr {
			t.Errorf("the servers listen on %s and %s", first, addr)
		}
		all[0].Close()
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Write([]byte(`{"jsonrpc":"2.0","id":1,"method":"echo","params":[1]}` + "\n")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 512)
		if n, err := c.Read(buf); err != nil || n == 0 {
			t.Errorf("read %d bytes, %v", n, err)
		}
	})
}

package cluster

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
)

// ListenLocal listens on a unix socket for the other processes of this node. It
// makes the directory of path with mode 0700 if it is not there, and refuses one
// that others may enter. A socket that a process before us has left is replaced:
// its name belongs to whoever holds the number of the worker now. The listener
// removes the socket when it is closed.
func ListenLocal(path string) (net.Listener, error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cluster: local links: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return nil, fmt.Errorf("cluster: local links: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("cluster: directory %s of local links is open to others (mode %04o); run: chmod 0700 %s", dir, mode, dir)
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return nil, fmt.Errorf("cluster: local links: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("cluster: local links: %w", err)
	}
	return l, nil
}

// notsentMax is how many unsent bytes of a link the kernel may keep. More would
// put the control lane behind megabytes of the bulk lane.
const notsentMax = 256 << 10

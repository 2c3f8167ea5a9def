package e2e

import (
	be "encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A network of our own, for faults that no proxy can make: packets of TCP and
// UDP between nodes are dropped or damaged, in one direction if need be, and
// neither end is told. Each node runs in a network namespace with one interface,
// a TUN device, whose other end is here: what it sends, this process reads,
// judges and writes to the device of the node it is for. It needs no privilege
// where user namespaces are open to everybody.

// wireEnv marks the process of a node before it becomes one: it makes its
// interface, gives the other end to this test and executes the command.
const wireEnv = "E2E_WIRE"

// wireNet is the network, wireSelf this process's own number in it.
const (
	wireNet  = "10.77.0."
	wireSelf = 100
)

func init() {
	roles[wireEnv] = func(number string) int {
		fmt.Fprintln(os.Stderr, becomeNode(number)) // or it is a node
		return 1
	}
}

// network is what connects the nodes.
type network struct {
	t       *testing.T
	mu      sync.Mutex
	ports   map[byte]*os.File // guarded by mu; by number of the node
	judge   func(from, to byte, packet []byte) bool
	dropped atomic.Int64
	wg      sync.WaitGroup
}

// newNetwork makes one, with this process as number wireSelf. REQUIRES: the
// process is in a namespace of its own.
func newNetwork(t *testing.T) *network {
	t.Helper()
	w := &network{t: t, ports: map[byte]*os.File{}}
	f, err := openTun(wireSelf)
	if err != nil {
		t.Fatal(err)
	}
	w.plug(wireSelf, f)
	t.Cleanup(func() {
		w.mu.Lock()
		for _, f := range w.ports {
			f.Close()
		}
		w.mu.Unlock()
		w.wg.Wait()
	})
	return w
}

// faults sets what happens to packets between nodes: those for which judge
// returns false are dropped, and it may change them. nil heals the network.
func (w *network) faults(judge func(from, to byte, packet []byte) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.judge = judge
}

// plug connects a device; the one that was there is gone.
func (w *network) plug(number byte, f *os.File) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if old := w.ports[number]; old != nil {
		old.Close()
	}
	w.ports[number] = f
	w.wg.Go(func() { w.pump(number, f) })
}

// pump passes on what one node sends until its device is closed.
func (w *network) pump(from byte, f *os.File) {
	p := make([]byte, 1<<16)
	for {
		n, err := f.Read(p)
		if err != nil {
			return
		}
		if packet := p[:n]; n >= 20 && packet[0]>>4 == 4 {
			w.pass(from, packet[19], packet)
		}
	}
}

func (w *network) pass(from, to byte, packet []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.judge != nil && from != wireSelf && to != wireSelf && !w.judge(from, to, packet) {
		w.dropped.Add(1)
		return
	}
	if f := w.ports[to]; f != nil {
		_, _ = f.Write(packet) // a queue that is full drops, as networks do
	}
}

// command returns a command that becomes a node with the number, on the network.
func (w *network) command(number byte, args []string) *exec.Cmd {
	ours, theirs, err := socketPair()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe", append([]string{binary}, args...)...)
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.Env = append(cleanEnv(), wireEnv+"="+strconv.Itoa(int(number)))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	w.wg.Go(func() { // ends with the node's message or that of the test
		defer ours.Close()
		f, err := receiveFile(ours)
		theirs.Close()
		if err == nil {
			w.plug(number, f)
		}
	})
	w.t.Cleanup(func() { ours.Close() })
	return cmd
}

// socketPair returns two ends of which one is for another process.
func socketPair() (ours *net.UnixConn, theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, err
	}
	own := os.NewFile(uintptr(pair[0]), "wire")
	defer own.Close()
	theirs = os.NewFile(uintptr(pair[1]), "wire")
	c, err := net.FileConn(own)
	if err != nil {
		theirs.Close()
		return nil, nil, err
	}
	return c.(*net.UnixConn), theirs, nil
}

// becomeNode is what a process with wireEnv does in the place of tests.
func becomeNode(number string) error {
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	tun, err := openTun(byte(n))
	if err != nil {
		return err
	}
	if err := unix.Sendmsg(3, []byte{1}, unix.UnixRights(int(tun.Fd())), nil, 0); err != nil {
		return fmt.Errorf("handing the device over: %w", err)
	}
	unix.CloseOnExec(3)
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, wireEnv) {
			env = append(env, kv)
		}
	}
	return syscall.Exec(os.Args[1], os.Args[1:], env)
}

// receiveFile takes the descriptor that becomeNode sends.
func receiveFile(from *net.UnixConn) (*os.File, error) {
	buf, oob := make([]byte, 1), make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := from.ReadMsgUnix(buf, oob)
	if err != nil {
		return nil, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return nil, errors.Join(err, errors.New("no device"))
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.Join(err, errors.New("no device"))
	}
	unix.CloseOnExec(fds[0])
	return tunFile(fds[0])
}

func tunFile(fd int) (*os.File, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "tun"), nil
}

// openTun makes the interface of this process's namespace with address number
// of the network, and brings it and loopback up.
func openTun(number byte) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq("wire0")
	if err != nil {
		return nil, err
	}
	request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
	if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
		return nil, fmt.Errorf("making a TUN device: %w", err)
	}
	if err := errors.Join(
		setInterface("wire0", net.ParseIP(wireNet+strconv.Itoa(int(number)))),
		setInterface("lo", nil),
	); err != nil {
		return nil, err
	}
	return tunFile(fd)
}

// setInterface gives an interface an address of a network of 256, if it is to
// have one, and brings it up.
func setInterface(name string, ip net.IP) error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if ip != nil {
		for _, set := range []struct {
			what uint
			addr []byte
		}{{unix.SIOCSIFADDR, ip.To4()}, {unix.SIOCSIFNETMASK, []byte{255, 255, 255, 0}}} {
			if err := request.SetInet4Addr(set.addr); err != nil {
				return err
			}
			if err := unix.IoctlIfreq(s, set.what, request); err != nil {
				return fmt.Errorf("address of %s: %w", name, err)
			}
		}
	}
	request.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("%s up: %w", name, err)
	}
	return nil
}

// tcpPayload returns where a TCP packet's payload begins and its ports; ok is
// false for other packets.
func tcpPayload(packet []byte) (at int, source, target uint16, ok bool) {
	header := int(packet[0]&15) * 4
	if packet[9] != unix.IPPROTO_TCP || len(packet) < header+20 {
		return 0, 0, 0, false
	}
	tcp := packet[header:]
	return header + int(tcp[12]>>4)*4, be.BigEndian.Uint16(tcp), be.BigEndian.Uint16(tcp[2:]), true
}

// flip turns one bit of a TCP packet's payload over in such a way that the
// checksum does not tell: what a broken machine in between may do.
func flip(packet []byte) bool {
	at, _, _, ok := tcpPayload(packet)
	if !ok || len(packet)-at < 2 {
		return false
	}
	i := at + rand.IntN(len(packet)-at)
	i -= (i - int(packet[0]&15)*4) % 2 // words are counted from the header on
	if i < at || i+2 > len(packet) {
		return false
	}
	old := be.BigEndian.Uint16(packet[i:])
	now := old ^ 1<<rand.IntN(16)
	be.BigEndian.PutUint16(packet[i:], now)
	patchChecksum(packet, old, now)
	return true
}

// patchChecksum is RFC 1624: the sum after one word of TCP has changed.
func patchChecksum(packet []byte, old, now uint16) {
	sum := packet[int(packet[0]&15)*4+16:]
	s := uint32(^be.BigEndian.Uint16(sum)) + uint32(^old) + uint32(now)
	s = s&0xffff + s>>16
	s = s&0xffff + s>>16
	be.BigEndian.PutUint16(sum, ^uint16(s))
}

// closeWindow has a TCP packet say that its sender reads nothing.
func closeWindow(packet []byte) {
	window := packet[int(packet[0]&15)*4+14:]
	old := be.BigEndian.Uint16(window)
	be.BigEndian.PutUint16(window, 0)
	patchChecksum(packet, old, 0)
}

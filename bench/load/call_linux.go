package load

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The system calls of the loop. The runtime does not hear of those that do not
// block, nor of short waits: it takes the processor away from a goroutine that
// has not yielded for 10 ms, from then on in each of its system calls, and looks
// for such ones every 20 µs. That was a tenth of a processor for each load
// process, and a new thread every few milliseconds.

// shortWait is how long the only processor of the runtime may be held while
// nothing happens: a collection waits for it.
const shortWait = 5 * time.Millisecond

// await fills events with those of an epoll set and returns how many there are,
// none when wait nanoseconds have passed.
func await(set int, events []unix.EpollEvent, wait int64) (int, error) {
	call := syscall.RawSyscall6
	if wait > int64(shortWait) {
		call = syscall.Syscall6
	}
	t := unix.NsecToTimespec(wait)
	n, _, errno := call(unix.SYS_EPOLL_PWAIT2, uintptr(set), uintptr(unsafe.Pointer(unsafe.SliceData(events))),
		uintptr(len(events)), uintptr(unsafe.Pointer(&t)), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.ENOSYS, unix.EPERM: // before Linux 5.11, or behind a filter that is older
		return unix.EpollWait(set, events, int((wait+int64(time.Millisecond)-1)/int64(time.Millisecond)))
	}
	return 0, errno
}

// recv reads once what the socket has, as read would.
func recv(fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// send writes once what the socket takes.
func send(fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))),
		uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// closeSocket closes a descriptor, which is free afterwards whatever happens:
// what is left to send the kernel sends by itself.
func closeSocket(fd int) { _, _, _ = syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// setOption sets an option of a socket whose value is a number.
func setOption(fd, level, option int, value int32) error {
	_, _, errno := syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value), 0)
	return failure(errno)
}

// bind chooses the address from which a socket connects, and no port.
func bind(fd int, to *unix.RawSockaddrInet4) error {
	_, _, errno := syscall.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(to)), unsafe.Sizeof(*to))
	return failure(errno)
}

// connect begins to connect a socket that does not block.
func connect(fd int, to *unix.RawSockaddrInet4) error {
	_, _, errno := syscall.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(to)), unsafe.Sizeof(*to))
	return failure(errno)
}

// failure returns a system call's error, nil for 0.
func failure(errno syscall.Errno) error {
	if errno == 0 {
		return nil
	}
	return errno
}

// rawAddress returns an address as system calls take it; port 0 is any.
func rawAddress(a netip.Addr, port uint16) unix.RawSockaddrInet4 {
	raw := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.As4()}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&raw.Port))[:], port)
	return raw
}

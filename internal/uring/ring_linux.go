package uring

import (
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A Ring sends on many sockets at a time. One goroutine may use it at a time; who
// opened it closes it.
type Ring struct {
	fd       int
	rings    []byte // mapped: both rings
	requests []byte // mapped: sqes

	sqHead, sqTail *atomic.Uint32
	cqHead, cqTail *atomic.Uint32
	sqMask, cqMask uint32
	sqes           unsafe.Pointer // request, sqMask+1 of them
	cqes           unsafe.Pointer // result, cqMask+1 of them
}

// A Send is one write to a socket.
type Send struct {
	FD int32
	// P is what to send, at least one byte. It is read until Ring.Send returns.
	P []byte
	// N and Errno say what came of it, as send(2) would: N bytes of P were taken,
	// or none for the reason Errno.
	N     int
	Errno syscall.Errno
}

// Alone does the send with a call of its own, without waiting and without SIGPIPE.
func (w *Send) Alone() {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(w.FD),
		uintptr(unsafe.Pointer(&w.P[0])), uintptr(len(w.P)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if w.N, w.Errno = int(n), errno; errno != 0 {
		w.N = 0
	}
}

// params is struct io_uring_params of linux/io_uring.h.
type params struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFD uint32
	_                                                                      [3]uint32
	sq                                                                     struct {
		head, tail, mask, entries, flags, dropped, array, _ uint32
		_                                                   uint64
	}
	cq struct {
		head, tail, mask, entries, overflow, cqes, flags, _ uint32
		_                                                   uint64
	}
}

// request is struct io_uring_sqe as IORING_OP_SEND reads it.
type request struct {
	opcode, flags uint8
	_             uint16
	fd            int32
	_             uint64
	addr          uint64
	len, msgFlags uint32
	userData      uint64
	_             [3]uint64
}

// result is struct io_uring_cqe.
type result struct {
	userData uint64
	res      int32
	_        uint32
}

// Constants of linux/io_uring.h.
const (
	opSend     = 26      // IORING_OP_SEND
	getEvents  = 1       // IORING_ENTER_GETEVENTS
	singleMap  = 1 << 0  // IORING_FEAT_SINGLE_MMAP: both rings are one mapping
	skipResult = 1 << 11 // IORING_FEAT_CQE_SKIP, of Linux 5.17
	ofRings    = 0       // IORING_OFF_SQ_RING
	ofRequests = 0x10000000
)

// wanted are features without which a kernel is too old to be relied on.
const wanted = singleMap | skipResult

// Open makes a ring for n requests at a time, a power of two. The error says
// that this process cannot have one: an old kernel, kernel.io_uring_disabled, a
// filter of system calls.
func Open(n int) (*Ring, error) {
	var p params
	fd, _, errno := syscall.Syscall(unix.SYS_IO_URING_SETUP, uintptr(n), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, os.NewSyscallError("io_uring_setup", errno)
	}
	r := &Ring{fd: int(fd)} // closed on exec: the kernel sees to it
	if p.features&wanted != wanted {
		r.Close()
		return nil, os.NewSyscallError("io_uring_setup", unix.ENOSYS)
	}
	if err := r.mapRings(&p); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

func (r *Ring) mapRings(p *params) (err error) {
	size := max(p.sq.array+p.sqEntries*4, p.cq.cqes+p.cqEntries*uint32(unsafe.Sizeof(result{})))
	if r.rings, err = r.mmap(ofRings, int(size)); err != nil {
		return err
	}
	if r.requests, err = r.mmap(ofRequests, int(p.sqEntries)*int(unsafe.Sizeof(request{}))); err != nil {
		return err
	}
	word := func(at uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.rings[at])) }
	shared := func(at uint32) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(&r.rings[at])) }
	r.sqHead, r.sqTail, r.sqMask = shared(p.sq.head), shared(p.sq.tail), *word(p.sq.mask)
	r.cqHead, r.cqTail, r.cqMask = shared(p.cq.head), shared(p.cq.tail), *word(p.cq.mask)
	for i := range p.sqEntries { // the request of each place is always the same
		*word(p.sq.array + 4*i) = i
	}
	r.sqes, r.cqes = unsafe.Pointer(&r.requests[0]), unsafe.Pointer(&r.rings[p.cq.cqes])
	return nil
}

func (r *Ring) mmap(offset int64, size int) ([]byte, error) {
	b, err := unix.Mmap(r.fd, offset, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	return b, os.NewSyscallError("mmap", err)
}

// Close gives the ring back.
func (r *Ring) Close() {
	for _, b := range [][]byte{r.rings, r.requests} {
		if b != nil {
			_ = unix.Munmap(b) // fails for what was never mapped only
		}
	}
	_ = unix.Close(r.fd)
}

func (r *Ring) place(at uint32) *request {
	return (*request)(unsafe.Add(r.sqes, uintptr(at&r.sqMask)*unsafe.Sizeof(request{})))
}

func (r *Ring) outcome(at uint32) *result {
	return (*result)(unsafe.Add(r.cqes, uintptr(at&r.cqMask)*unsafe.Sizeof(result{})))
}

// Send does the writes of list, at most as many as the ring has places, in their
// order and without waiting, and says of each what came of it. It reports false
// if the kernel takes none.
func (r *Ring) Send(list []Send) bool {
	first := r.sqTail.Load()
	for i := range list {
		w := &list[i]
		*r.place(first + uint32(i)) = request{
			opcode: opSend, fd: w.FD, addr: uint64(uintptr(unsafe.Pointer(&w.P[0]))), len: uint32(len(w.P)),
			msgFlags: unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL, userData: uint64(i),
		}
	}
	r.sqTail.Store(first + uint32(len(list)))
	taken := r.submit(first, len(list))
	r.collect(list, taken)
	runtime.KeepAlive(list) // what the kernel read is in it
	for i := taken; taken > 0 && i < len(list); i++ {
		list[i].Alone()
	}
	return taken > 0
}

// submit has the kernel take n requests from place first on, and returns how many
// it has taken. Those it has not are taken back.
func (r *Ring) submit(first uint32, n int) (taken int) {
	for taken < n {
		k, errno := r.enter(n-taken, 0, 0)
		taken = int(r.sqHead.Load() - first)
		if errno != 0 && errno != unix.EINTR || errno == 0 && k == 0 {
			break // out of memory for a moment, or forbidden since
		}
	}
	r.sqTail.Store(first + uint32(taken))
	return taken
}

// collect takes the results of the first n of list. They are there: a send that
// must not wait is over when it was taken. If ever one was not, it is waited for,
// because the kernel may still read what it sends.
func (r *Ring) collect(list []Send, n int) {
	head := r.cqHead.Load()
	for left := n; left > 0; {
		tail := r.cqTail.Load()
		for ; head != tail; head++ {
			e := r.outcome(head)
			w := &list[e.userData]
			if w.N, w.Errno = int(e.res), 0; e.res < 0 {
				w.Alone() // says why, without what only rings say
			}
			left--
		}
		r.cqHead.Store(head)
		if left > 0 {
			_, _ = r.enter(0, left, getEvents) // looked at again whatever it says
		}
	}
}

// enter is io_uring_enter(2).
func (r *Ring) enter(submit, wait, flags int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(submit), uintptr(wait), uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

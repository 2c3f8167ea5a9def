package loop

import (
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// uring is a second door to the kernel: an io_uring (io_uring(7)) through which
// many sends go in one system call. It is used for nothing else, and never for
// what might wait: each send is done, or refused, when the call returns. One
// goroutine may use it at a time.
type uring struct {
	fd       int
	rings    []byte // mapped: both rings
	requests []byte // mapped: sqes

	sqHead, sqTail *atomic.Uint32
	cqHead, cqTail *atomic.Uint32
	sqMask, cqMask uint32
	sqes           unsafe.Pointer // uringRequest, sqMask+1 of them
	cqes           unsafe.Pointer // uringResult, cqMask+1 of them
}

// uringParams is struct io_uring_params of linux/io_uring.h.
type uringParams struct {
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

// uringRequest is struct io_uring_sqe as IORING_OP_SEND reads it.
type uringRequest struct {
	opcode, flags uint8
	_             uint16
	fd            int32
	_             uint64
	addr          uint64
	len, msgFlags uint32
	userData      uint64
	_             [3]uint64
}

// uringResult is struct io_uring_cqe.
type uringResult struct {
	userData uint64
	res      int32
	_        uint32
}

// Constants of linux/io_uring.h.
const (
	uringSend       = 26      // IORING_OP_SEND
	uringGetEvents  = 1       // IORING_ENTER_GETEVENTS
	uringSingleMap  = 1 << 0  // IORING_FEAT_SINGLE_MMAP: both rings are one mapping
	uringSkipResult = 1 << 11 // IORING_FEAT_CQE_SKIP, of Linux 5.17
	uringOfRings    = 0       // IORING_OFF_SQ_RING
	uringOfRequests = 0x10000000
)

// uringWanted are features without which a kernel is too old to be relied on.
const uringWanted = uringSingleMap | uringSkipResult

// openUring makes a ring for n requests at a time, a power of two. The error says
// that this process cannot have one: an old kernel, kernel.io_uring_disabled, a
// filter of system calls.
func openUring(n int) (*uring, error) {
	var p uringParams
	fd, _, errno := syscall.Syscall(unix.SYS_IO_URING_SETUP, uintptr(n), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, os.NewSyscallError("io_uring_setup", errno)
	}
	r := &uring{fd: int(fd)} // closed on exec: the kernel sees to it
	if p.features&uringWanted != uringWanted {
		r.close()
		return nil, os.NewSyscallError("io_uring_setup", unix.ENOSYS)
	}
	if err := r.mapRings(&p); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *uring) mapRings(p *uringParams) (err error) {
	size := max(p.sq.array+p.sqEntries*4, p.cq.cqes+p.cqEntries*uint32(unsafe.Sizeof(uringResult{})))
	if r.rings, err = r.mmap(uringOfRings, int(size)); err != nil {
		return err
	}
	if r.requests, err = r.mmap(uringOfRequests, int(p.sqEntries)*int(unsafe.Sizeof(uringRequest{}))); err != nil {
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

func (r *uring) mmap(offset int64, size int) ([]byte, error) {
	b, err := unix.Mmap(r.fd, offset, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	return b, os.NewSyscallError("mmap", err)
}

func (r *uring) close() {
	for _, b := range [][]byte{r.rings, r.requests} {
		if b != nil {
			_ = unix.Munmap(b) // fails for what was never mapped only
		}
	}
	_ = unix.Close(r.fd)
}

func (r *uring) request(at uint32) *uringRequest {
	return (*uringRequest)(unsafe.Add(r.sqes, uintptr(at&r.sqMask)*unsafe.Sizeof(uringRequest{})))
}

func (r *uring) result(at uint32) *uringResult {
	return (*uringResult)(unsafe.Add(r.cqes, uintptr(at&r.cqMask)*unsafe.Sizeof(uringResult{})))
}

// send does the writes of list, at most as many as the ring has places, in their
// order and without waiting, and says of each what came of it. It reports false
// if the kernel takes none.
func (r *uring) send(list []gathered) bool {
	first := r.sqTail.Load()
	for i := range list {
		w := &list[i]
		*r.request(first + uint32(i)) = uringRequest{
			opcode: uringSend, fd: w.s.fd, addr: uint64(uintptr(unsafe.Pointer(&w.p[0]))), len: uint32(len(w.p)),
			msgFlags: unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL, userData: uint64(i),
		}
	}
	r.sqTail.Store(first + uint32(len(list)))
	taken := r.submit(first, len(list))
	r.collect(list, taken)
	runtime.KeepAlive(list) // what the kernel read is in it
	for i := taken; taken > 0 && i < len(list); i++ {
		list[i].send()
	}
	return taken > 0
}

// submit has the kernel take n requests from place first on, and returns how many
// it has taken. Those it has not are taken back.
func (r *uring) submit(first uint32, n int) (taken int) {
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
func (r *uring) collect(list []gathered, n int) {
	head := r.cqHead.Load()
	for left := n; left > 0; {
		tail := r.cqTail.Load()
		for ; head != tail; head++ {
			e := r.result(head)
			w := &list[e.userData]
			if w.n, w.errno = int(e.res), 0; e.res < 0 {
				w.send() // says why, without what only rings say
			}
			left--
		}
		r.cqHead.Store(head)
		if left > 0 {
			_, _ = r.enter(0, left, uringGetEvents) // looked at again whatever it says
		}
	}
}

// enter is io_uring_enter(2).
func (r *uring) enter(submit, wait, flags int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(submit), uintptr(wait), uintptr(flags), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

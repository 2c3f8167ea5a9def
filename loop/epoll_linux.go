package loop

import (
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// epoll is the door to the kernel: one epoll set with an eventfd to wake it and
// a timerfd for its clock. netpoll watches the set itself and calls the loop
// when something in it is ready.
type epoll struct {
	set, wake, timer int
	pace             int           // timerfd, loop 0 of a group with a Pacer; else -1
	lead             time.Duration // from opening to the first tick
}

// Tags of events that are no connection's: generation 0, and this as index.
// Listener n has the tag tagListener+n.
const (
	tagWake = iota
	tagTimer
	tagPace
	tagListener
)

func openEpoll(tick time.Duration) (e epoll, err error) {
	e = epoll{set: -1, wake: -1, timer: -1, pace: -1}
	defer func() {
		if err != nil {
			e.close()
		}
	}()
	if e.set, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return e, os.NewSyscallError("epoll_create1", err)
	}
	if e.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return e, os.NewSyscallError("eventfd", err)
	}
	if e.timer, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return e, os.NewSyscallError("timerfd_create", err)
	}
	if e.lead, err = startTimer(e.timer, tick); err != nil {
		return e, err
	}
	if err = e.add(e.wake, unix.EPOLLIN, tagWake, 0); err == nil {
		err = e.add(e.timer, unix.EPOLLIN, tagTimer, 0)
	}
	return e, err
}

// startTimer lets fd tick at multiples of tick on the monotonic clock, so that
// all loops wake the process at the same moment: each wake of an idle process
// also starts the runtime's monitor, which costs more than the tick itself.
func startTimer(fd int, tick time.Duration) (lead time.Duration, err error) {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return 0, os.NewSyscallError("clock_gettime", err)
	}
	lead = tick - time.Duration(now.Nano())%tick
	spec := unix.ItimerSpec{
		Interval: unix.NsecToTimespec(int64(tick)),
		Value:    unix.NsecToTimespec(now.Nano() + int64(lead)),
	}
	return lead, os.NewSyscallError("timerfd_settime", unix.TimerfdSettime(fd, unix.TFD_TIMER_ABSTIME, &spec, nil))
}

func (e *epoll) close() {
	for _, fd := range []int{e.set, e.wake, e.timer, e.pace} {
		if fd >= 0 {
			unix.Close(fd)
		}
	}
}

func (e *epoll) add(fd int, events uint32, index int, gen uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(index), Pad: int32(gen)}
	return os.NewSyscallError("epoll_ctl add", unix.EpollCtl(e.set, unix.EPOLL_CTL_ADD, fd, &ev))
}

func (e *epoll) modify(fd int, events uint32, index int, gen uint32) error {
	ev := unix.EpollEvent{Events: events, Fd: int32(index), Pad: int32(gen)}
	return os.NewSyscallError("epoll_ctl mod", unix.EpollCtl(e.set, unix.EPOLL_CTL_MOD, fd, &ev))
}

func (e *epoll) remove(fd int) error {
	return os.NewSyscallError("epoll_ctl del", unix.EpollCtl(e.set, unix.EPOLL_CTL_DEL, fd, nil))
}

// ready fills events with what is ready now, without waiting. It does not
// block, so the scheduler need not hear of it.
func (e *epoll) ready(events []unix.EpollEvent) int {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_EPOLL_PWAIT, uintptr(e.set),
		uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

// counter reads and resets an eventfd or timerfd.
func counter(fd int) uint64 {
	var buf [8]byte
	n, _, errno := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&buf)), 8)
	if errno != 0 || n != 8 {
		return 0
	}
	return *(*uint64)(unsafe.Pointer(&buf))
}

// recv reads once without blocking; p must not be empty.
func recv(fd int32, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd),
		uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// send writes once without blocking and without SIGPIPE; p must not be empty.
func send(fd int32, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd),
		uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// again reports whether a call that failed with errno may simply be repeated
// when the descriptor is ready.
func again(errno syscall.Errno) bool { return errno == syscall.EAGAIN || errno == syscall.EINTR }

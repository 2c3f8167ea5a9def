// Package memprof says what a connection costs and where the bytes are: the
// resident memory of a process, the Go heap by class, the kernel's slabs, the
// processor time spent, and the pauses of the garbage collector.
//
// It is a leaf. It knows nothing of servers: a program counts its own
// components (slots, records, buffers), hands them to [Take] and receives a
// [Report] whose rows add up to the resident memory the kernel sees:
//
//	r, err := memprof.Take(clients,
//		memprof.Component{Name: "slots", Count: n, Bytes: n * 48},
//		memprof.Component{Name: "registry", Count: keys, Bytes: m.Bytes()})
//
// Promises:
//
//   - The rows of a Report add up to Resident.RSS exactly. What nobody claimed
//     stands in the last row, [Unaccounted], and may be negative: the runtime
//     counts pages that the kernel has not had to supply yet.
//   - Bytes are bytes, never kilobytes; times are nanoseconds.
//   - Nothing here stops the world, starts a goroutine or keeps state.
//   - What cannot be read is an error that names the file and the remedy,
//     never a zero.
//
// Limits: resident memory, slabs and processor time are read from Linux. On
// other systems their functions return errors and a Report has no RSS.
// Kernel slabs belong to the whole machine, so only their growth across an
// experiment on a quiet machine means anything.
package memprof

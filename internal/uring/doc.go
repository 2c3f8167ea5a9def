// Package uring is a second door to the kernel: an io_uring (io_uring(7)) through
// which many sends go in one system call. It is used for nothing else, and never
// for what might wait: each send is done, or refused, when the call returns.
// Linux from 5.17 on; elsewhere the package is empty.
package uring

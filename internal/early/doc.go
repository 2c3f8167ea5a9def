// Package early has the kernel end chosen sockets of a killed process before all
// its others.
//
// What is left of a killed process to its descriptors is work: Linux closes
// each socket in turn, which for tens of thousands of clients takes a good part
// of a second, and several when the processors are busy with those clients'
// return. It does so from the last number down: close_files puts each file that
// nobody else has on the task's list of deferred work, and task_work_run takes
// the latest first. A link that was made when the process started has a low
// number, so its other end would be the last to hear of the death, though it is
// the one that has to act on it.
//
// A [Twin] is a second descriptor of the same socket with a number above those
// of clients. The file is put on the list when its last descriptor is closed, so
// that of the twin counts, and the socket ends first.
//
// Elsewhere than on Linux a Twin does nothing.
package early

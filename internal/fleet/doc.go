// Package fleet runs one node as several processes: a supervisor and its
// workers. It knows nothing of what they serve.
//
// The supervisor binds the sockets and holds no client. [Start] runs the
// workers, each with the listening sockets and four things of its own:
//
//   - a lifeline, a pipe that nobody writes to: when the supervisor ends, in
//     whatever way, the kernel kills the worker;
//   - a [Control], small frames in both directions;
//   - a way for open connections: the supervisor passes descriptors, see
//     [Supervisor.Pass] and [Worker.Conns];
//   - a [Share] of a page of memory in which each says how many connections it
//     holds, so that accepting spreads evenly.
//
// A worker that ends is started again, the first time at once, then with a
// growing delay. Orders come through the control channel only: service managers
// and terminals send signals to all processes of a group, and a signal that came
// twice must not count as the second, forcing one.
//
// Workers are numbered from 0. Each process has an incarnation, 64 random bits,
// which tells it from earlier processes with its number.
//
// It runs on Linux; elsewhere only what needs no kernel is there.
package fleet

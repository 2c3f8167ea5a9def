// Package session keeps what outlives a connection: one record of 56 bytes for
// each session, found by its id or by a Ref, and the latest events that were
// sent to it. A process of a cluster keeps copies of sessions of others in the
// same form.
//
// What Table promises, each held by a test:
//
//   - A Ref names one session for ever. When the session is gone the Ref is
//     stale: every method says so, and never touches the session that took the
//     slot over.
//   - Load returns a record as it was at one moment, and takes no lock as long
//     as nobody is writing this very record.
//   - Updates of one record come one after another. An update takes effect as a
//     whole; one that panics takes no effect.
//   - Ids are 128 bits from crypto/rand, or what Options.NewID draws. No two
//     sessions share one.
//   - There are never more than Options.Max sessions. Nothing is allocated for
//     sessions that have not come.
//   - A session costs at most 136 bytes from 1,000 sessions up, the registry
//     included (measured: 131 at worst, 98 at a million; Epoch and Home are 8 of
//     them), and the collector has nothing to scan in it. Its slot is one cache
//     line.
//   - Adopt adds a session under a given id, once, and Version tells which of
//     two readings of a record is the newer.
//   - Sweep never removes a session before its time, nor one that its keep
//     spares. It visits as many records a call as it is told and stops nobody.
//
// Records live in chunks that never move, so that a Ref is a plain index. The
// chunks stay when sessions go: a table keeps the memory of its peak, and new
// sessions use it first.
//
// What Events promises, likewise:
//
//   - Since gives all events of a stream after a number, in order, or none and
//     says so. There is no partial replay.
//   - Numbers rise through all streams of a log and never come back while it
//     lives, whatever was lost.
//   - The number of a dropped log leads nowhere, not to the log that took its
//     place; it is given again after 16,000 others at the earliest.
//   - A message is stored once, however many logs refer to it, and goes with
//     the last of them. It has an Origin, which means the same message in the
//     stores of all processes, and under which it is stored once, too.
//   - No log holds more than Count events or Bytes bytes. Messages, with 60
//     bytes each, and references to them, 16 bytes each, do not go beyond
//     Budget; the oldest goes first. Entries that refer to what has gone may
//     come to as much again until they are swept.
//   - Every event that is removed by a limit is counted with that limit.
//   - Append, AppendAt and Since allocate nothing in the steady state; Keep, the
//     message; KeepAs, the message if it is not stored.
//   - A store that has gone quiet keeps 32 bytes for the head of each log and
//     gives the rest back with Sweep.
//
// And for copies of logs, which take the numbers that another process has drawn:
//
//   - A log that was made from what Each says, by SetFloors, KeepAs, AppendAt and
//     Lift, answers what the log it was made from answers.
//   - Events may come in any order and more than once: AppendAt puts each where
//     its number belongs, and takes no number and no message twice. Events that
//     come in order cost the same however many the log has.
//   - Numbers drawn after NextEpoch were drawn by no home before, if that was
//     less than 65,536 numbers ahead of the copy.
//   - A log that NextEpoch was called for has a fork, which takes 20 bytes at
//     most; others pay nothing for it.
//
// 15,000 logs that retain 16 events of 150 bytes each take 298 bytes a log if
// the messages went to all and 3,824 if each log has its own (BenchmarkRetained).
// A copy of a session takes 128 bytes with its log and 194 if that has 4 events
// that went to all (BenchmarkCopies, 100,000 copies).
//
// Logs in different shards, one of 16, meet only where messages are kept, freed,
// evicted or looked up by their Origin. The age of an event is that of its
// message: it begins with Keep, or with the first KeepAs. Events end with the
// process.
package session

// Package session keeps what outlives a connection: one record of 48 bytes for
// each session, found by its id or by a Ref, and the latest events that were
// sent to it.
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
//   - Ids are 128 bits from crypto/rand. No two sessions share one.
//   - There are never more than Options.Max sessions. Nothing is allocated for
//     sessions that have not come.
//   - A session costs at most 128 bytes from 1,000 sessions up, the registry
//     included (measured: 118 at worst, 90 at a million), and the collector has
//     nothing to scan in it.
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
//     the last of them.
//   - No log holds more than Count events or Bytes bytes. Messages, with 32
//     bytes each, and references to them, 16 bytes each, do not go beyond
//     Budget; the oldest goes first. Entries that refer to what has gone may
//     come to as much again until they are swept.
//   - Every event that is removed by a limit is counted with that limit.
//   - Append and Since allocate nothing in the steady state; Keep, the message.
//   - A store that has gone quiet keeps 32 bytes for the head of each log and
//     gives the rest back with Sweep.
//
// 15,000 logs that retain 16 events of 150 bytes each take 298 bytes a log if
// the messages went to all and 3,373 if each log has its own (BenchmarkRetained).
//
// Logs in different shards, one of 16, meet only where messages are kept, freed
// or evicted. The age of an event is that of its message: it begins with Keep.
// Events end with the process; a Snapshot carries a session to another one.
package session

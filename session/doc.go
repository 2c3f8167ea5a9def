// Package session keeps what outlives a connection: one record of 48 bytes for
// each session, found by its id or by a Ref.
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
//   - Sweep never removes a session before its time, nor one that its keep
//     spares. It visits as many records a call as it is told and stops nobody.
//
// Records live in chunks that never move, so that a Ref is a plain index. The
// chunks stay when sessions go: a table keeps the memory of its peak, and new
// sessions use it first.
package session

// Package shard maps 128-bit session ids to 64-bit handles for a node that
// holds a million of them.
//
// What Map promises, each held by a test:
//
//   - Get takes no lock and never waits for a writer. It allocates nothing. It
//     starts again only when a deletion in the same shard has completed
//     meanwhile, so somebody else has made progress.
//   - Every operation on one key is linearizable.
//   - No insertion copies more than keysMax entries: a shard that is full
//     is split in two, the others are not touched. There is no moment at which
//     the whole map grows.
//   - A key costs at most 64 bytes from 1,000 keys up, key and value included;
//     measured 30 to 41 (New(0)). An empty map holds less than 1 KB whatever
//     New was told.
//   - The collector has nothing to scan but one pointer a shard and the directory.
//   - Deletions leave no trace in the cost of a lookup: marks they leave are
//     counted as load and swept out by the rebuild that load brings about.
//     Tables shrink when they empty.
//   - Keys chosen by an adversary do no harm: the hash is keyed with a random
//     seed of each Map.
//   - Len, Bytes and Range never stop the world: they visit one shard after the
//     other.
//
// Limits. The directory (16 bytes for about 300 keys) and one small table a
// shard stay at their peak when a map empties: below 2 bytes for each key of
// the peak.
//
// How it is built. The top bits of a key's hash choose a shard through a
// directory (extendible hashing, Fagin et al. 1979): a shard of depth d serves
// all keys that share the top d bits, so splitting one shard leaves all others
// where they are; only the directory doubles now and then, 16 bytes a shard.
// Within a shard an open-addressing table has groups of eight slots with a tag
// byte each (as in Swiss tables), compared eight at a time within one word.
// Writers take the lock of the shard. Readers load words atomically.
//
// In a busy process hardly anything of a map is in the processor's caches when
// it is asked for a key, so what a lookup costs is the memory it waits for, one
// access after another: the map, its place in the directory, the group's tags,
// the slot. That the directory says how large a shard is, and that a shard's
// header and groups are one piece, keeps header and group from being two waits
// (BenchmarkLookupCold).
//
// The package also says where keys belong in a cluster: PartitionOf divides
// them into Partitions, and Rank orders the members of a cluster for each by
// rendezvous hashing.
package shard

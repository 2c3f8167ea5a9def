// Package codec turns bytes into messages and messages into bytes: lines and
// length-prefixed frames, JSON-RPC 2.0, HTTP/1.1 requests and responses,
// server-sent events, and JSON values through sonic. It does no I/O, starts no
// goroutine, and its functions may be called from any goroutine.
//
// # What it promises
//
//   - Every decoder is incremental: it says "more" until a message is whole, and
//     how a message was cut into reads never changes what comes out.
//   - No byte is looked at again because more bytes came. What has to be
//     remembered of an unfinished message is a few words the caller owns (scan).
//   - A length that was merely told allocates nothing; every message has a bound.
//   - Good messages are decoded without an allocation. Results are parts of the
//     caller's buffer, or Spans into it, and live as long as it does; functions
//     that return memory of their own say so.
//   - No input makes it panic. Each decoder has a fuzz target that compares it
//     with the standard library or with a slow and obvious twin.
//   - Appended JSON-RPC messages are whole and well-formed whatever they are made
//     of, and hold no newline, so that each is a line.
//
// # Strict JSON
//
// One scanner judges all JSON that comes in, before sonic or anybody else reads
// it. It accepts what encoding/json calls valid, less two things: bytes that are
// not UTF-8 (RFC 8259, section 8.1), and nesting beyond a limit. In an envelope
// it also refuses a member that comes twice; ParseEnvelope lists the rules of
// JSON-RPC. Unlike encoding/json, names are matched by exact case everywhere.
//
// The scanner is ours because it was measured against the ways through sonic. A
// request of 105 bytes takes 285 ns; sonic's decoder, reused and filling raw
// parts, takes 495 ns and notices neither repeated members nor depth nor bytes
// that are not UTF-8, each of which would be a pass of its own; encoding/json
// takes 3,623 ns and 11 allocations (BenchmarkParseEnvelope and its neighbours,
// median of 7 on 2 busy cores of an AMD EPYC; quiet, the first is 204 ns). In
// long strings beyond ASCII sonic's vector code is faster, by half. Values are
// decoded and encoded by sonic: Unmarshal, Marshal, AppendJSON.
//
// # Limits
//
// A line or frame is at most 16 MiB unless its reader says otherwise, a message
// 64 levels deep, a batch 100 messages. Spans limit a message to 4 GiB.
//
// Sonic's code cannot be preempted. While it decodes one large document the
// collector waits to stop the world, for tens of milliseconds at 16 MiB; give
// such documents to workers sparingly, or lower the bound.
package codec

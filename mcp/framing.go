package mcp

import (
	"time"

	"github.com/rookery-server/rookery/codec"
)

// This file writes what stands in a stream of server-sent events. In a chunked
// response each is a chunk of its own; one that ends with its connection
// (HTTP/1.0) has none.

// notChunked is the mark of a frame without a chunk around it.
const notChunked = -1

// beginFrame begins one piece of a stream; endFrame takes the mark.
func beginFrame(dst []byte, chunked bool) (framed []byte, mark int) {
	if !chunked {
		return dst, notChunked
	}
	return codec.BeginChunk(dst)
}

func endFrame(dst []byte, mark int) []byte {
	if mark == notChunked {
		return dst
	}
	return codec.EndChunk(dst, mark)
}

// appendEvent appends msg as an event. Its name is written out: some clients
// look.
func appendEvent(dst []byte, chunked bool, msg []byte) []byte {
	dst, mark := beginFrame(dst, chunked)
	dst = codec.AppendEvent(dst, "", "message", msg)
	return endFrame(dst, mark)
}

// appendNumbered is appendEvent for an event that has an id.
func appendNumbered(dst []byte, chunked bool, stream, seq, fork uint32, msg []byte) []byte {
	return appendWithID(dst, chunked, stream, seq, fork, "message", msg)
}

// appendPriming appends the event without data that tells a client where its
// stream begins, before there is anything to say (2025-11-25).
func appendPriming(dst []byte, chunked bool, stream, seq, fork uint32) []byte {
	return appendWithID(dst, chunked, stream, seq, fork, "", nil)
}

func appendWithID(dst []byte, chunked bool, stream, seq, fork uint32, event string, data []byte) []byte {
	dst, mark := beginFrame(dst, chunked)
	dst = append(appendEventID(append(dst, "id: "...), stream, seq, fork), '\n')
	dst = codec.AppendEvent(dst, "", event, data)
	return endFrame(dst, mark)
}

func appendComment(dst []byte, chunked bool, comment string) []byte {
	dst, mark := beginFrame(dst, chunked)
	dst = codec.AppendComment(dst, comment)
	return endFrame(dst, mark)
}

func appendRetry(dst []byte, chunked bool, wait time.Duration) []byte {
	dst, mark := beginFrame(dst, chunked)
	dst = codec.AppendRetry(dst, wait)
	return endFrame(dst, mark)
}

// appendEnd appends the end of a stream's body.
func appendEnd(dst []byte, chunked bool) []byte {
	if !chunked {
		return dst
	}
	return codec.AppendLastChunk(dst)
}

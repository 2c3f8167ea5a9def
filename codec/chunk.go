package codec

// AppendChunk appends p as one chunk; nothing when p is empty.
func AppendChunk(dst, p []byte) []byte { return dst }

// AppendLastChunk appends the chunk that ends a body, without trailers.
func AppendLastChunk(dst []byte) []byte { return append(dst, "0\r\n\r\n"...) }

// BeginChunk reserves the size line of a chunk whose bytes the caller appends
// next; EndChunk(dst, mark) completes it.
func BeginChunk(dst []byte) (out []byte, mark int) { return dst, len(dst) }

// EndChunk completes the chunk begun at mark.
func EndChunk(dst []byte, mark int) []byte { return dst }

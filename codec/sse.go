package codec

import "time"

// AppendEvent appends one Server-Sent Event.
func AppendEvent(dst []byte, id, event string, data []byte) []byte { return dst }

// AppendComment appends a comment, which a client ignores.
func AppendComment(dst []byte, text string) []byte { return dst }

// AppendRetry appends the wait after which a client should come back.
func AppendRetry(dst []byte, wait time.Duration) []byte { return dst }

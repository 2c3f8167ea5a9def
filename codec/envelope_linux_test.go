package codec

import (
	"math"
	"syscall"
	"testing"
)

// TestParseEnvelopeBeyondSpans: a message that offsets cannot name is refused
// before a byte of it is read. The memory is reserved, not readable.
func TestParseEnvelopeBeyondSpans(t *testing.T) {
	msg, err := syscall.Mmap(-1, 0, math.MaxUint32+1, syscall.PROT_NONE, syscall.MAP_ANON|syscall.MAP_PRIVATE|syscall.MAP_NORESERVE)
	if err != nil {
		t.Skip("no address space for 4 GiB: ", err)
	}
	defer func() {
		if err := syscall.Munmap(msg); err != nil {
			t.Error(err)
		}
	}()
	var env Envelope
	if err := ParseEnvelope(msg, nil, &env); codeOf(err) != CodeInvalidRequest {
		t.Errorf("4 GiB: %v", err)
	}
	if err := EachInBatch(msg, nil, func([]byte, Envelope, *Error) bool { return true }); codeOf(err) != CodeInvalidRequest {
		t.Errorf("a batch of 4 GiB: %v", err)
	}
}

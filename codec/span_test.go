package codec

import (
	"testing"
	"unsafe"
)

const _ = uint(8-unsafe.Sizeof(Span{})) + uint(unsafe.Sizeof(Span{})-8) // 8 bytes exactly

func TestSpanOf(t *testing.T) {
	b := []byte("method")
	if got := (Span{2, 3}).Of(b); string(got) != "tho" || cap(got) != 3 || &got[0] != &b[2] {
		t.Errorf("%q with room for %d", got, cap(got))
	}
	if got := (Span{}).Of(nil); len(got) != 0 {
		t.Errorf("an absent part is %q", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("a span of another message was granted")
		}
	}()
	Span{5, 2}.Of(b)
}

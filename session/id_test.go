package session

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"testing"
)

func TestIDRoundTrip(t *testing.T) {
	for _, want := range []string{
		"00000000000000000000000000000000",
		"000102030405060708090a0b0c0d0e0f",
		"ffffffffffffffffffffffffffffffff",
		"0123456789abcdeffedcba9876543210",
	} {
		id, ok := ParseID([]byte(want))
		if !ok {
			t.Errorf("ParseID(%s) refused", want)
		}
		if id.String() != want {
			t.Errorf("ParseID(%s).String() = %s", want, id)
		}
		if got := string(id.AppendID([]byte("id="))); got != "id="+want {
			t.Errorf("AppendID = %q", got)
		}
	}
}

func TestParseIDRefuses(t *testing.T) {
	good := strings.Repeat("0a", 16)
	for _, bad := range []string{
		"", "0", good[1:], good + "0", strings.ToUpper(good), good[:31] + "g", " " + good[1:], good[:31] + "\x00",
		"0x" + good[2:], good[:30] + "\xc3\xa9", "-" + good[1:], good[:31] + "/", good[:31] + ":", good[:31] + "`",
	} {
		if id, ok := ParseID([]byte(bad)); ok || id != (ID{}) {
			t.Errorf("ParseID(%q) = %s, %v", bad, id, ok)
		}
	}
}

// FuzzParseID compares with encoding/hex, which takes upper case too.
func FuzzParseID(f *testing.F) {
	f.Add([]byte(strings.Repeat("0a", 16)))
	f.Add([]byte(strings.Repeat("0A", 16)))
	f.Add([]byte("0123456789abcdef"))
	f.Fuzz(func(t *testing.T, b []byte) {
		id, ok := ParseID(b)
		var want ID
		n, err := hex.Decode(want[:], b[:min(len(b), IDChars)])
		wantOK := err == nil && n == len(want) && len(b) == IDChars && bytes.Equal(b, bytes.ToLower(b))
		if ok != wantOK || ok && id != want {
			t.Fatalf("ParseID(%q) = %s, %v, want %x, %v", b, id, ok, want, wantOK)
		}
		if ok && !bytes.Equal(id.AppendID(nil), b) {
			t.Fatalf("%q came back as %s", b, id)
		}
	})
}

func TestIDSource(t *testing.T) {
	s := idSource{read: rand.Read}
	seen := map[ID]bool{}
	for range 1000 {
		id := s.next()
		if seen[id] || id == (ID{}) {
			t.Fatalf("%s drawn twice, or zero", id)
		}
		seen[id] = true
		if bytes.Contains(s.buffer[:], id[:]) {
			t.Fatal("an id that was handed out is still in the buffer")
		}
	}
}

// A source that gives zeros now and then is asked again.
func TestIDSourceSkipsZero(t *testing.T) {
	reads := 0
	s := idSource{read: func(b []byte) (int, error) {
		reads++
		clear(b)
		if reads > 1 {
			b[len(b)-1] = 1
		}
		return len(b), nil
	}}
	if id := s.next(); id != (ID{15: 1}) || reads != 2 {
		t.Errorf("next = %s after %d reads", id, reads)
	}
}

func TestIDsAllocateNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	text := []byte(strings.Repeat("0a", 16))
	dst := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() {
		id, _ := ParseID(text)
		dst = id.AppendID(dst[:0])
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

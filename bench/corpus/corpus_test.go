package corpus

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"
)

// Two systems are compared on the same bytes only as long as nobody changes
// them unnoticed.
func TestCorpusIsAlwaysTheSame(t *testing.T) {
	sum := sha256.New()
	for _, m := range New().Take(100_000) {
		sum.Write(m.Session[:])
		sum.Write(m.JSON)
	}
	const want = "cedde91e6e21b96c32109a1487ceb3a1ce50b4302f35404be3f0b6ea3e3dfc91"
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		t.Errorf("the first 100,000 messages have the SHA-256 %s, want %s", got, want)
	}
}

func TestMessagesAreUniqueValidAndOf128Bytes(t *testing.T) {
	const n = 100_000
	seen := make(map[string]bool, n)
	bytes := 0
	for _, m := range New().Take(n) {
		if !json.Valid(m.JSON) {
			t.Fatalf("not JSON: %s", m.JSON)
		}
		seen[string(m.JSON)] = true
		bytes += len(m.JSON)
	}
	if len(seen) != n {
		t.Errorf("%d of %d messages are unique", len(seen), n)
	}
	if mean := float64(bytes) / n; mean < 126 || mean > 130 {
		t.Errorf("%.1f bytes on average", mean)
	}
}

func TestTakeGoesOn(t *testing.T) {
	a, b := New(), New()
	whole := a.Take(100)
	for i := range 10 {
		for j, m := range b.Take(10) {
			if want := whole[10*i+j]; m.Session != want.Session || string(m.JSON) != string(want.JSON) {
				t.Fatalf("message %d differs when they are taken ten at a time", 10*i+j)
			}
		}
	}
	if len(a.SessionIDs()) != Sessions {
		t.Errorf("%d sessions", len(a.SessionIDs()))
	}
}

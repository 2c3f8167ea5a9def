package load

import (
	"math/rand/v2"
)

// textSpan is how many different texts of one length there are. A prime, so
// that texts do not repeat in step with ids.
const textSpan = 65_521

// texts is the source of what calls carry: letters and digits, which JSON
// writes as they are, in an order that does not repeat.
type texts []byte

func newTexts(longest int, seed uint64) texts {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	r := rand.New(rand.NewPCG(seed, 0x7e475))
	t := make(texts, textSpan+longest)
	for i := range t {
		t[i] = letters[r.IntN(len(letters))]
	}
	return t
}

// of returns the text of call id, size bytes of it.
func (t texts) of(id uint32, size int) []byte {
	at := int(uint64(id) * 2_654_435_761 % textSpan)
	return t[at : at+size]
}

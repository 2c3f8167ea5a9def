package load

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// textMax is the longest text of a call, in bytes.
const textMax = 1 << 20

// DefaultSize is the length of texts unless told otherwise: with it a call over
// TCP is 64 bytes or a little more.
var DefaultSize = Size{parts: []sizePart{{Weight: 1, From: 12, To: 12}}}

// Size is a distribution of lengths in bytes. The zero value is empty. It is
// written as "64", as a range "64-1024" whose lengths are equally likely, or as
// several of these with weights: "64*9,4096-8192*1".
type Size struct{ parts []sizePart }

type sizePart struct {
	Weight   float64
	From, To int
}

func (s Size) empty() bool { return len(s.parts) == 0 }

// ParseSize reads a distribution.
func ParseSize(text string) (Size, error) {
	var s Size
	for _, part := range strings.Split(text, ",") {
		p := sizePart{Weight: 1}
		lengths, weight, weighted := strings.Cut(part, "*")
		from, to, ranged := strings.Cut(lengths, "-")
		var err error
		if p.From, err = strconv.Atoi(strings.TrimSpace(from)); err != nil {
			return Size{}, fmt.Errorf("%w: size %q is no number of bytes", ErrOptions, part)
		}
		p.To = p.From
		if ranged {
			if p.To, err = strconv.Atoi(strings.TrimSpace(to)); err != nil {
				return Size{}, fmt.Errorf("%w: size %q is no range of bytes", ErrOptions, part)
			}
		}
		if weighted {
			if p.Weight, err = strconv.ParseFloat(strings.TrimSpace(weight), 64); err != nil {
				return Size{}, fmt.Errorf("%w: size %q has no weight behind its *", ErrOptions, part)
			}
		}
		s.parts = append(s.parts, p)
	}
	return s, s.check()
}

func (s Size) check() error {
	for _, p := range s.parts {
		if p.From < 1 || p.To < p.From || p.To > textMax || !(p.Weight > 0 && p.Weight < 1e9) {
			return fmt.Errorf("%w: size %q: lengths are 1 to %d bytes, weights above 0", ErrOptions, s, textMax)
		}
	}
	return nil
}

// String returns the form that ParseSize reads.
func (s Size) String() string {
	var out []string
	for _, p := range s.parts {
		text := strconv.Itoa(p.From)
		if p.To != p.From {
			text += "-" + strconv.Itoa(p.To)
		}
		if p.Weight != 1 {
			text += "*" + strconv.FormatFloat(p.Weight, 'g', -1, 64)
		}
		out = append(out, text)
	}
	return strings.Join(out, ",")
}

// MarshalJSON writes the form that ParseSize reads.
func (s Size) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalJSON reads what MarshalJSON writes.
func (s *Size) UnmarshalJSON(b []byte) error {
	var text string
	err := json.Unmarshal(b, &text)
	if err != nil || text == "" {
		*s = Size{}
		return err
	}
	*s, err = ParseSize(text)
	return err
}

// draw returns a length.
func (s Size) draw(r *rand.Rand) int {
	p := s.parts[0]
	if len(s.parts) > 1 {
		var sum float64
		for _, p := range s.parts {
			sum += p.Weight
		}
		at := r.Float64() * sum
		for _, p = range s.parts {
			if at -= p.Weight; at < 0 {
				break
			}
		}
	}
	if p.From == p.To {
		return p.From
	}
	return p.From + r.IntN(p.To-p.From+1)
}

// longest returns the longest length of the distribution.
func (s Size) longest() (n int) {
	for _, p := range s.parts {
		n = max(n, p.To)
	}
	return n
}

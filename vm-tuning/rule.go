package tuning

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Rule says how a value is compared with the one that is wanted.
type Rule string

// Rules. All but the last compare field by field.
const (
	AtLeast Rule = "atleast" // raise what is lower
	AtMost  Rule = "atmost"  // lower what is higher
	Exactly Rule = "exactly"
	Covers  Rule = "covers" // two fields, a range: widen it
	Choice  Rule = "choice" // one of the words, the first where it is none of them
)

// check refuses values that the rule cannot use.
func (r Rule) check(lists ...[]string) error {
	if r == Choice {
		return nil
	}
	if !slices.Contains([]Rule{AtLeast, AtMost, Exactly, Covers}, r) {
		return fmt.Errorf("rule %q is unknown", r)
	}
	for _, list := range lists {
		if r == Covers && len(list) != 2 {
			return fmt.Errorf("a range has two fields, not %d", len(list))
		}
		for _, text := range list {
			if text == anything {
				continue
			}
			if _, err := ParseFormula(text); err != nil {
				return err
			}
		}
	}
	return nil
}

// anything is a field that is left as it is.
const anything = "-"

// values evaluates formulas; words of a choice stay what they are.
func (r Rule) values(formulas []string, v Vars) ([]string, error) {
	if r == Choice {
		return formulas, nil
	}
	out := make([]string, len(formulas))
	for i, text := range formulas {
		if text == anything {
			out[i] = anything
			continue
		}
		f, err := ParseFormula(text)
		if err != nil {
			return nil, err
		}
		n, err := f.Eval(v)
		if err != nil {
			return nil, err
		}
		out[i] = strconv.FormatInt(n, 10)
	}
	return out, nil
}

// target returns what have becomes when it is to satisfy want. It equals have
// where it does already, to the letter.
func (r Rule) target(have, want []string) ([]string, error) {
	if r == Choice {
		if len(have) == 1 && slices.Contains(want, have[0]) {
			return have, nil
		}
		return want[:1], nil
	}
	if len(have) != len(want) {
		return nil, fmt.Errorf("%q has %d fields, not %d", strings.Join(have, " "), len(have), len(want))
	}
	out := slices.Clone(have)
	for i := range want {
		if want[i] == anything {
			continue
		}
		h, err := parseNumber(have[i])
		if err != nil {
			return nil, err
		}
		w, err := parseNumber(want[i])
		if err != nil {
			return nil, err
		}
		rule := r
		if r == Covers {
			rule = []Rule{AtMost, AtLeast}[i]
		}
		if rule == AtLeast && h < w || rule == AtMost && h > w || rule == Exactly && h != w {
			out[i] = want[i]
		}
	}
	return out, nil
}

// unlimited are words for no limit, in /proc/self/limits, control groups and
// the Go runtime's variables.
var unlimited = []string{"unlimited", "infinity", "max", "off"}

// units are those of GOMEMLIMIT.
var units = []struct {
	suffix string
	factor int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"B", 1}, {"", 1}}

// parseNumber reads a whole number, with a unit as GOMEMLIMIT has it. What is
// larger than an int64 counts as the largest, like no limit.
func parseNumber(text string) (int64, error) {
	if slices.Contains(unlimited, text) {
		return math.MaxInt64, nil
	}
	for _, u := range units {
		digits, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%q is no whole number", text)
		}
		if n > uint64(math.MaxInt64/u.factor) {
			return math.MaxInt64, nil
		}
		return int64(n) * u.factor, nil
	}
	return 0, fmt.Errorf("%q is no whole number", text)
}

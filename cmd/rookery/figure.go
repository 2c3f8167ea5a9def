package main

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
)

// figure is a measured number, or unknown.
type figure float64

// unknown is what nobody has measured: null in JSON, a dash for people.
var unknown = figure(math.NaN())

func (f figure) known() bool { return !math.IsNaN(float64(f)) }

// MarshalJSON implements json.Marshaler.
func (f figure) MarshalJSON() ([]byte, error) {
	if !f.known() || math.IsInf(float64(f), 0) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(f))
}

// plus adds what is known.
func (f figure) plus(g figure) figure {
	switch {
	case !f.known():
		return g
	case !g.known():
		return f
	}
	return f + g
}

// over divides; unknown by nothing.
func (f figure) over(g figure) figure {
	if !f.known() || !g.known() || g == 0 {
		return unknown
	}
	return f / g
}

// since returns how much a counter grew from base; unknown when it fell, for
// then it began anew.
func (f figure) since(base figure) figure {
	if d := f - base; d >= 0 {
		return d
	}
	return unknown
}

// rounded returns f with that many decimals.
func (f figure) rounded(decimals int) figure {
	if !f.known() {
		return f
	}
	scale := math.Pow10(decimals)
	return figure(math.Round(float64(f)*scale) / scale)
}

// number shows a count or a rate in at most six characters: 12, 9.5, 25000, 1.25M.
func (f figure) number() string {
	switch v := float64(f); {
	case !f.known():
		return "-"
	case v < 9.95 && v != math.Trunc(v):
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v < 99_999.5:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v < 999_500:
		return fmt.Sprintf("%.0fk", v/1e3)
	case v < 9_995_000:
		return fmt.Sprintf("%.2fM", v/1e6)
	case v < 999_500_000:
		return fmt.Sprintf("%.0fM", v/1e6)
	default:
		return fmt.Sprintf("%.1fG", v/1e9)
	}
}

// bytes shows a size: 512B, 1.5KiB, 24MiB.
func (f figure) bytes() string {
	if !f.known() {
		return "-"
	}
	v, unit := float64(f), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if math.Abs(v) < 1023.5 {
			break
		}
		v, unit = v/1024, next
	}
	if unit == "B" || v >= 9.95 {
		return fmt.Sprintf("%.0f%s", v, unit)
	}
	return fmt.Sprintf("%.1f%s", v, unit)
}

// seconds shows a duration: 8.0us, 1.2ms, 35ms, 2.5s.
func (f figure) seconds() string {
	if !f.known() {
		return "-"
	}
	v, unit := float64(f)*1e6, "us"
	for _, next := range []string{"ms", "s"} {
		if v < 999.5 {
			break
		}
		v, unit = v/1e3, next
	}
	if v > 0 && v < 9.95 {
		return fmt.Sprintf("%.1f%s", v, unit)
	}
	return fmt.Sprintf("%.0f%s", v, unit)
}

// share shows a number of processors as a percentage of one.
func (f figure) share() string {
	if !f.known() {
		return "-"
	}
	return fmt.Sprintf("%.0f%%", float64(f)*100)
}

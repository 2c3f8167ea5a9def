package main

import (
	"encoding/json"
	"math"
	"testing"
)

func TestFigureForPeople(t *testing.T) {
	for _, c := range []struct {
		f                      figure
		number, bytes, seconds string
	}{
		{unknown, "-", "-", "-"},
		{0, "0", "0B", "0us"},
		{1, "1", "1B", "1.0s"},
		{1.26, "1.3", "1B", "1.3s"},
		{9.96, "10", "10B", "10s"},
		{0.0000082, "0.0", "0B", "8.2us"},
		{0.00123, "0.0", "0B", "1.2ms"},
		{0.035, "0.0", "0B", "35ms"},
		{0.9996, "1.0", "1B", "1.0s"},
		{1023, "1023", "1023B", "1023s"},
		{1536, "1536", "1.5KiB", "1536s"},
		{99_999, "99999", "98KiB", "99999s"},
		{123_456, "123k", "121KiB", "123456s"},
		{999_600, "1.00M", "976KiB", "999600s"},
		{1_250_000, "1.25M", "1.2MiB", "1250000s"},
		{25_000_000, "25M", "24MiB", "25000000s"},
		{2e12, "2000.0G", "1.8TiB", "2000000000000s"},
	} {
		if n, b, s := c.f.number(), c.f.bytes(), c.f.seconds(); n != c.number || b != c.bytes || s != c.seconds {
			t.Errorf("%v: %s %s %s, want %s %s %s", float64(c.f), n, b, s, c.number, c.bytes, c.seconds)
		}
	}
	if unknown.share() != "-" || figure(1.5).share() != "150%" {
		t.Error(unknown.share(), figure(1.5).share())
	}
}

func TestFigureArithmetic(t *testing.T) {
	for name, f := range map[string]figure{
		"over nothing": figure(1).over(0), "over unknown": figure(1).over(unknown), "unknown over": unknown.over(1),
		"fallen": figure(1).since(2), "since unknown": figure(1).since(unknown), "nothing": unknown.plus(unknown), "rounded": unknown.rounded(1),
	} {
		if f.known() {
			t.Errorf("%s: %v", name, f)
		}
	}
	if unknown.plus(2) != 2 || figure(2).plus(unknown) != 2 || figure(2).plus(3) != 5 || figure(3).since(2) != 1 || figure(1).over(4).rounded(1) != 0.3 {
		t.Error("wrong sums")
	}
	text, err := json.Marshal([]figure{unknown, 1.5, figure(math.Inf(1))})
	if err != nil || string(text) != "[null,1.5,null]" {
		t.Errorf("%s, %v", text, err)
	}
}

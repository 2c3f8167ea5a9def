package tuning

import (
	"errors"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestFormula(t *testing.T) {
	v := Vars{varConns: 100_000, varProcesses: 6}
	for text, want := range map[string]int64{
		"7":                     7,
		"1 + 2 * 3":             7,
		"(1 + 2) * 3":           9,
		"10 - 4 - 3":            3,
		"100 / 7 / 2":           7,
		"CONNS":                 100_000,
		"min(CONNS, 65535)":     65_535,
		"max(4096, CONNS / 4)":  25_000,
		"max(1, min(2, 3)) + 1": 3,
		" max( 1 ,2 ) ":         2,
		"(CONNS + PROCESSES - 1) / PROCESSES + 64": 16_731,
	} {
		f, err := ParseFormula(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got, err := f.Eval(v); got != want || err != nil {
			t.Errorf("%s = %d, %v, want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"", "1 +", "(1", "1)", "min(1)", "min 1, 2", "max(1,", "CONN", "1 2", "0x10", "a b", "-1", "99999999999999999999", "1 % 2", "é", strings.Repeat("(", 300)} {
		if _, err := ParseFormula(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
	for text, want := range map[string]error{"MEMPAGES + 1": ErrNotApplicable, "1 + MEMPAGES": ErrNotApplicable, "1 / (CONNS - CONNS)": nil} {
		f, err := ParseFormula(text)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Eval(v); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The shell computes what the program does, for whatever can be written.
func TestFormulaInTheShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh")
	}
	var script, wants strings.Builder
	script.WriteString("least() { if [ \"$1\" -lt \"$2\" ]; then echo \"$1\"; else echo \"$2\"; fi; }\n")
	script.WriteString("most() { if [ \"$1\" -gt \"$2\" ]; then echo \"$1\"; else echo \"$2\"; fi; }\nCONNS=100000 PROCESSES=6\n")
	rapid.Check(t, func(t *rapid.T) {
		f := drawFormula(t, 4)
		want, err := f.Eval(Vars{varConns: 100_000, varProcesses: 6})
		if err != nil {
			return // divided by zero
		}
		script.WriteString("echo " + f.Shell() + "\n")
		wants.WriteString(strconv.FormatInt(want, 10) + "\n")
	})
	cmd := exec.Command(sh)
	cmd.Stdin = strings.NewReader(script.String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if string(out) != wants.String() {
		got, want := strings.Split(string(out), "\n"), strings.Split(wants.String(), "\n")
		for i := range want {
			if i >= len(got) || got[i] != want[i] {
				t.Fatalf("formula %d of %s", i, script.String())
			}
		}
	}
}

// drawFormula draws one whose values stay small.
func drawFormula(t *rapid.T, depth int) *Formula {
	if depth == 0 || rapid.Bool().Draw(t, "leaf") {
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			return &Formula{op: 'v', name: varConns}
		case 1:
			return &Formula{op: 'v', name: varProcesses}
		}
		return &Formula{op: 'n', number: rapid.Int64Range(0, 999).Draw(t, "number")}
	}
	op := rapid.SampledFrom([]byte("+-*/mM")).Draw(t, "op")
	if op == '*' {
		depth = 1 // no overflow
	}
	return &Formula{op: op, left: drawFormula(t, depth-1), right: drawFormula(t, depth-1)}
}

func FuzzParseFormula(f *testing.F) {
	f.Add("max(4096, min(CONNS / 4, 65535))")
	f.Add("((1))")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParseFormula(text)
		if err != nil {
			return
		}
		_, _ = p.Eval(Vars{varConns: 1, varProcesses: 1})
		p.Shell()
		p.Vars()
	})
}

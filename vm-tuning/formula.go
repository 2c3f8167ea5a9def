package tuning

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Vars are the values that formulas of the table depend on, by name. A missing
// one means that it does not apply to this machine.
type Vars map[string]int64

// Names of variables in formulas.
const (
	varConns     = "CONNS"         // connections to hold
	varProcesses = "PROCESSES"     // among which they are divided
	varMemPages  = "MEMPAGES"      // memory of the machine, in pages of 4 KiB
	varMemory    = "CGROUP_MEMORY" // limit of the control group in bytes
	varCPUs      = "CGROUP_CPUS"   // quota of the control group, rounded up
)

var knownVars = []string{varConns, varProcesses, varMemPages, varMemory, varCPUs}

// ErrNotApplicable is returned by Formula.Eval when the machine has no value
// for a variable: a control group without a limit, for example.
var ErrNotApplicable = errors.New("does not apply here")

// Formula is an expression of whole numbers: + - * / with the usual precedence,
// parentheses, min(a, b), max(a, b) and the variables above. The shell's
// arithmetic gives the same results: 64 bits, division towards zero.
type Formula struct {
	op          byte // 'n' number, 'v' variable, 'm' min, 'M' max, else + - * /
	number      int64
	name        string
	left, right *Formula
}

// formulaMax bounds the text of a formula, and so the depth of its parser.
const formulaMax = 256

// ParseFormula reads text, at most 256 bytes.
func ParseFormula(text string) (*Formula, error) {
	if len(text) > formulaMax {
		return nil, fmt.Errorf("a formula of %d bytes, more than %d", len(text), formulaMax)
	}
	p := &formulaParser{rest: text}
	f, err := p.sum()
	if err == nil && p.peek() != 0 {
		err = fmt.Errorf("unexpected %q", p.rest)
	}
	if err != nil {
		return nil, fmt.Errorf("formula %q: %w", text, err)
	}
	return f, nil
}

// Eval returns the value of f. It fails with ErrNotApplicable when a variable
// is missing, and when something is divided by zero.
func (f *Formula) Eval(v Vars) (int64, error) {
	switch f.op {
	case 'n':
		return f.number, nil
	case 'v':
		n, ok := v[f.name]
		if !ok {
			return 0, fmt.Errorf("%s: %w", f.name, ErrNotApplicable)
		}
		return n, nil
	}
	a, err := f.left.Eval(v)
	if err != nil {
		return 0, err
	}
	b, err := f.right.Eval(v)
	if err != nil {
		return 0, err
	}
	switch f.op {
	case '+':
		return a + b, nil
	case '-':
		return a - b, nil
	case '*':
		return a * b, nil
	case 'm':
		return min(a, b), nil
	case 'M':
		return max(a, b), nil
	}
	if b == 0 {
		return 0, errors.New("division by zero")
	}
	return a / b, nil
}

// Vars returns the names of the variables in f, each as often as it occurs.
func (f *Formula) Vars() []string {
	switch f.op {
	case 'n':
		return nil
	case 'v':
		return []string{f.name}
	}
	return append(f.left.Vars(), f.right.Vars()...)
}

// Shell returns f as a word of a POSIX shell, with least and most as functions
// that print the lesser and the greater of two numbers.
func (f *Formula) Shell() string {
	switch f.op {
	case 'n':
		return strconv.FormatInt(f.number, 10)
	case 'v':
		return `"$` + f.name + `"`
	case 'm':
		return `"$(least ` + f.left.Shell() + " " + f.right.Shell() + `)"`
	case 'M':
		return `"$(most ` + f.left.Shell() + " " + f.right.Shell() + `)"`
	}
	return `"$((` + f.left.operand() + " " + string(f.op) + " " + f.right.operand() + `))"`
}

// operand returns f as it stands within $(( and )).
func (f *Formula) operand() string {
	switch f.op {
	case 'v':
		return f.name
	case 'n':
		return f.Shell()
	case 'm', 'M':
		return strings.Trim(f.Shell(), `"`)
	}
	return "(" + f.left.operand() + " " + string(f.op) + " " + f.right.operand() + ")"
}

// formulaParser reads a formula by recursive descent.
type formulaParser struct{ rest string }

// peek returns the next byte that is no space, 0 at the end.
func (p *formulaParser) peek() byte {
	p.rest = strings.TrimLeft(p.rest, " ")
	if p.rest == "" {
		return 0
	}
	return p.rest[0]
}

func (p *formulaParser) take(c byte) error {
	if p.peek() != c {
		return fmt.Errorf("%q wanted at %q", c, p.rest)
	}
	p.rest = p.rest[1:]
	return nil
}

func (p *formulaParser) sum() (*Formula, error)     { return p.chain("+-", p.product) }
func (p *formulaParser) product() (*Formula, error) { return p.chain("*/", p.factor) }

// chain reads operands between any of ops, from left to right.
func (p *formulaParser) chain(ops string, operand func() (*Formula, error)) (*Formula, error) {
	left, err := operand()
	for err == nil && p.peek() != 0 && strings.IndexByte(ops, p.peek()) >= 0 {
		op := p.peek()
		p.rest = p.rest[1:]
		var right *Formula
		if right, err = operand(); err == nil {
			left = &Formula{op: op, left: left, right: right}
		}
	}
	return left, err
}

func (p *formulaParser) factor() (*Formula, error) {
	if p.peek() == '(' {
		p.rest = p.rest[1:]
		f, err := p.sum()
		if err != nil {
			return nil, err
		}
		return f, p.take(')')
	}
	word := p.word()
	switch {
	case word == "":
		return nil, fmt.Errorf("a number or a name wanted at %q", p.rest)
	case word == "min" || word == "max":
		return p.call(word)
	case word[0] >= '0' && word[0] <= '9':
		n, err := strconv.ParseInt(word, 10, 64)
		return &Formula{op: 'n', number: n}, err
	}
	for _, known := range knownVars {
		if word == known {
			return &Formula{op: 'v', name: word}, nil
		}
	}
	return nil, fmt.Errorf("no variable is called %s", word)
}

// word takes letters, digits and underscores.
func (p *formulaParser) word() string {
	p.peek()
	n := strings.IndexFunc(p.rest, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
	if n < 0 {
		n = len(p.rest)
	}
	word := p.rest[:n]
	p.rest = p.rest[n:]
	return word
}

// call reads the two operands of min or max.
func (p *formulaParser) call(name string) (*Formula, error) {
	f := &Formula{op: 'm'}
	if name == "max" {
		f.op = 'M'
	}
	err := p.take('(')
	if err == nil {
		f.left, err = p.sum()
	}
	if err == nil {
		err = p.take(',')
	}
	if err == nil {
		f.right, err = p.sum()
	}
	if err == nil {
		err = p.take(')')
	}
	return f, err
}

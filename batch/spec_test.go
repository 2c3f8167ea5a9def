package batch

import (
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The example and the numbers of SPEC.md are what this package does.
func TestSpecificationIsRight(t *testing.T) {
	text, err := os.ReadFile("SPEC.md")
	if err != nil {
		t.Fatal(err)
	}
	spec := string(text)
	_, example, _ := strings.Cut(spec, "## Example")
	_, example, _ = strings.Cut(example, "```\n")
	example, _, _ = strings.Cut(example, "```")
	var want strings.Builder
	for line := range strings.Lines(example) {
		digits, _, _ := strings.Cut(line, "   ")
		want.WriteString(strings.ReplaceAll(strings.TrimSpace(digits), " ", ""))
	}
	x, y := pair(t, Options{}, Options{})
	mustAppend(t, x, Data, "hello")
	mustAppend(t, x, Data, "")
	p := x.NextFrame(nil)
	if got := hex.EncodeToString(p); got != want.String() {
		t.Errorf("the frame is\n%s, the example\n%s", got, want.String())
	}
	var in inbox
	feed(t, y, p, &in)

	h := Hello{}
	hello, err := AppendHello(nil, &h)
	if err != nil {
		t.Fatal(err)
	}
	for _, fact := range []string{
		fmt.Sprintf("Epoch(1, 2) = %#x", Epoch(1, 2)),
		"header of " + fmt.Sprint(headerSize) + " bytes",
		"Grants**, " + fmt.Sprint(grantsSize) + " bytes",
		"raw is at most 65,536",
		fmt.Sprintf("at most %d MiB", defaultMessageMax>>20),
		fmt.Sprintf("| %d | 3 × (1, …)", len(hello)-checksumSize-3),
		fmt.Sprintf("below %d bytes alone", packMin),
		fmt.Sprintf("leaves %d alone", packRest),
		fmt.Sprintf("After %d frames of data", bulkShare),
	} {
		if !strings.Contains(strings.ReplaceAll(spec, "\n", " "), fact) && !strings.Contains(spec, fact) {
			t.Errorf("SPEC.md does not say %q", fact)
		}
	}
	if frameMax != 65_536 || huffmanMax != 131_072 || HelloMax != 1024 {
		t.Error("limits differ from SPEC.md")
	}
	for code := RefusedVersion; code <= RefusedLeaving; code++ {
		if !regexp.MustCompile(fmt.Sprintf(`\b%d [a-z]`, code)).MatchString(spec) {
			t.Errorf("code %d is not explained", code)
		}
	}
}

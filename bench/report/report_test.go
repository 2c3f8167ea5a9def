package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/rookery-server/rookery/bench"
)

// sample is a report with everything that can stand in one.
func sample() *Report {
	r := &Report{
		Schema: Schema, Title: "4 nodes, 2,000 clients", Taken: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Took: 61.4,
		Command: "rookery suite --scale small", Version: "v0.1.0", Commit: "0123456789abcdef",
		Machine:  bench.Machine{CPU: "a processor", CPUs: 2, Memory: 24 << 30, Kernel: "6.18", Go: "go1.26", Descriptors: 20000},
		Settings: []Setting{{"clients", "2,000"}, {"nodes", "4"}}, Notes: []string{"a <note>"},
	}
	add := func(id string, group int, what, unit string, sense Sense, floor, bar, got float64) {
		c := Check{ID: id, Group: group, What: what, Unit: unit, Sense: sense, Floor: Limit(floor), Bar: Limit(bar)}
		c.Measure(got, 100)
		r.Checks = append(r.Checks, c)
	}
	add("cluster.formed", 1, "nodes that see all others", "", AtLeast, 4, 4, 4)
	add("performance.p99", 4, "99th percentile from the due time", "ms", AtMost, 100, 60, 72.25)
	add("resources.memory", 8, "memory of all servers", "MB", AtMost, 4096, 300, 5000)
	control := Check{ID: "resources.control", Group: 8, What: "the same of a control process", Unit: "ms", Sense: AtMost}
	control.Measure(3, 7)
	r.Checks = append(r.Checks, Check{ID: "network.partition", Group: 7, What: "partition detected", Sense: AtMost, Floor: Limit(3)})
	r.Checks[3].Skip("not on this kernel")
	r.Checks = append(r.Checks, control)
	ramp := NewChart("ramp", "Connections", "clients", "n1", "n2")
	latency := NewChart("latency", "Latency from the due time", "ms", "p50", "p99")
	latency.LogY = true
	for i := range 60 {
		x := float64(i)
		ramp.Add(x, min(x*50, 1000), min(x*40, 1000))
		latency.Add(x, 2+math.Sin(x/5), 20+10*math.Cos(x/7))
	}
	ramp.Add(60, 1000) // n2 was not read
	ramp.Marks = []Mark{{X: 30, Text: "n2 killed", Bad: true}, {X: 33, Text: "all served"}}
	bars := NewChart("histogram", "Round trips by latency", "round trips", "all")
	bars.Kind, bars.XUnit, bars.LogX, bars.Note = Bars, "ms", true, "logarithmic axis"
	for i, n := range []float64{3, 40, 400, 900, 300, 80, 9, 1} {
		bars.Add(math.Pow(2, float64(i-2)), n)
	}
	ramp.Spans = []Span{{From: 5, To: 28, Text: "calls"}, {From: 30, To: 33, Text: "recovery", Bad: true}}
	pauses := NewChart("gc", "Longest pause", "ms", "n1", "control process")
	pauses.Kind, pauses.LogY = Points, true
	for i := range 30 {
		pauses.Add(float64(2*i), 3+2*math.Cos(float64(i)), 0.05)
	}
	r.Charts = []Chart{*ramp, *latency, *bars, *pauses}
	return r
}

func TestVerdicts(t *testing.T) {
	for _, tt := range []struct {
		sense           Sense
		floor, bar, got float64
		want            Verdict
	}{
		{AtMost, 100, 60, 60, Passed}, {AtMost, 100, 60, 60.1, BelowBar}, {AtMost, 100, 60, 100, BelowBar}, {AtMost, 100, 60, 100.1, Failed},
		{AtLeast, 5, 10, 10, Passed}, {AtLeast, 5, 10, 9.9, BelowBar}, {AtLeast, 5, 10, 4.9, Failed},
		{AtMost, 0, 0, math.NaN(), Failed}, {AtLeast, 0, 0, math.Inf(1), Failed},
	} {
		c := Check{Sense: tt.sense, Floor: Limit(tt.floor), Bar: Limit(tt.bar)}
		c.Measure(tt.got, 1)
		if c.Verdict != tt.want {
			t.Errorf("%v: %s", tt, c.Verdict)
		}
	}
	r := sample()
	if v := r.Verdict(); v != Failed {
		t.Errorf("a failed check: %s", v)
	}
	r.Checks = r.Checks[:2]
	if v := r.Verdict(); v != BelowBar {
		t.Errorf("a check below its bar: %s", v)
	}
	r.Checks = r.Checks[:1]
	if v := r.Verdict(); v != Passed {
		t.Errorf("all is well: %s", v)
	}
	r.Checks = []Check{{ID: "resources.control"}}
	r.Checks[0].Measure(1, 1)
	if v := r.Verdict(); v != Noted {
		t.Errorf("nothing that could fail: %s", v)
	}
	r.Unfinished = "interrupted"
	if v := r.Verdict(); v != Failed {
		t.Errorf("ended early: %s", v)
	}
	if v := (&Report{}).Verdict(); v != Failed {
		t.Errorf("nothing checked: %s", v)
	}
}

func TestJSONKeepsEverything(t *testing.T) {
	want := sample()
	var text bytes.Buffer
	if err := want.WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	got, err := Read(&text)
	if err != nil {
		t.Fatal(err)
	}
	missing := got.Charts[0].Series[1].Values
	if !math.IsNaN(float64(missing[60])) {
		t.Errorf("a value that was not measured came back as %v", missing[60])
	}
	missing[60], want.Charts[0].Series[1].Values[60] = 0, 0 // NaN is equal to nothing
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestReadRefuses(t *testing.T) {
	for text, want := range map[string]string{
		`{"schema":99}`: "unknown schema", `{}`: "unknown schema", `[`: "unexpected end", `root:x:0:0`: "not the result of a run", `{"schema":1,"rows":[]}`: "of the suite: no checks", `{"schema":1,"checks":3}`: "cannot unmarshal",
	} {
		_, err := Read(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
		if (want == "unknown schema") != errors.Is(err, ErrSchema) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// TestSchema holds schema.json to the types: it is what they say, and a report
// is valid by it.
func TestSchema(t *testing.T) {
	want, err := schemaOf()
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile("schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile("schema.json")
	if err != nil || !bytes.Equal(have, want) {
		t.Fatalf("schema.json is stale (%v): UPDATE=1 go test -run TestSchema ./bench/report", err)
	}
	var s jsonschema.Schema
	if err := json.Unmarshal(have, &s); err != nil {
		t.Fatal(err)
	}
	rs, err := s.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	if err := sample().WriteJSON(&text); err != nil {
		t.Fatal(err)
	}
	var v map[string]any
	if err := json.Unmarshal(text.Bytes(), &v); err != nil {
		t.Fatal(err)
	}
	if err := rs.Validate(v); err != nil {
		t.Error(err)
	}
	v["checks"].([]any)[0].(map[string]any)["verdict"] = 3
	if rs.Validate(v) == nil {
		t.Error("a verdict that is a number is valid by the schema")
	}
}

// schemaOf derives the JSON schema from the types.
func schemaOf() ([]byte, error) {
	number := &jsonschema.Schema{Types: []string{"number", "null"}}
	s, err := jsonschema.For[Report](&jsonschema.ForOptions{TypeSchemas: map[reflect.Type]*jsonschema.Schema{reflect.TypeFor[Value](): number}})
	if err != nil {
		return nil, err
	}
	s.Schema, s.Title = "https://json-schema.org/draft/2020-12/schema", "Report of a run of the rookery suite"
	text, err := json.MarshalIndent(s, "", " ")
	return append(text, '\n'), err
}

func TestTable(t *testing.T) {
	var plain, coloured bytes.Buffer
	if err := errors.Join(sample().WriteTable(&plain, false), sample().WriteTable(&coloured, true)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"1. CLUSTER", "72.2 ms", "≤ 60", "below bar", "network.partition (skipped): not on this kernel", "note: a <note>",
		"FAILED: 1 passed, 1 below bar, 1 failed, 1 without limit, 1 skipped, in 61 s"} {
		if !strings.Contains(plain.String(), want) {
			t.Errorf("no %q in\n%s", want, plain.String())
		}
	}
	if strings.Contains(plain.String(), "\x1b") || !strings.Contains(coloured.String(), "\x1b[31mfailed") {
		t.Errorf("colours:\n%s", coloured.String())
	}
}

func TestCompare(t *testing.T) {
	before, after := sample(), sample()
	after.Machine.CPUs, after.Settings[0].Value = 4, "4,000"
	after.Checks[1].Measure(40, 1)   // latency: better
	after.Checks[2].Measure(5100, 1) // within the noise
	after.Checks[0].Measure(3, 1)    // worse, and fails
	after.Checks[3].ID = "network.other"
	c := Compare(before, after)
	word := map[string]string{}
	for _, d := range c.Changes {
		switch {
		case d.Better:
			word[d.ID] = "better"
		case d.Worse:
			word[d.ID] = "worse"
		default:
			word[d.ID] = "same"
		}
	}
	want := map[string]string{"cluster.formed": "worse", "performance.p99": "better", "resources.memory": "same", "network.other": "same", "network.partition": "same", "resources.control": "same"}
	if !reflect.DeepEqual(word, want) {
		t.Errorf("%v", word)
	}
	var out bytes.Buffer
	if err := c.WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"the machines differ", "clients: 2,000 / 4,000", "worse (passed → failed)", "better (below bar → passed)"} {
		if !strings.Contains(out.String(), s) {
			t.Errorf("no %q in\n%s", s, out.String())
		}
	}
}

// TestBetween: a part of a chart counts its X from zero and leaves the whole as
// it was.
func TestBetween(t *testing.T) {
	c := NewChart("a", "a", "u", "x", "y")
	for i := range 10 {
		c.Add(float64(i), float64(10*i))
	}
	c.Marks, c.Spans = []Mark{{X: 1}}, []Span{{From: 1, To: 2}}
	part := c.Between(3, 5.5, 4)
	if !reflect.DeepEqual(part.X, []float64{-1, 0, 1}) || part.Series[0].Values[2] != 50 || len(part.Series[1].Values) != 3 || part.Marks != nil || part.Spans != nil {
		t.Errorf("%+v", part)
	}
	part.Add(2, 1, 1)
	if len(c.X) != 10 || len(c.Series[0].Values) != 10 || len(c.Marks) != 1 || c.Series[0].Values[6] != 60 {
		t.Errorf("%+v", c)
	}
	if !c.Any() || c.Between(20, 30, 0).Any() {
		t.Error("what is there, or is not, is not seen")
	}
}

func TestNumber(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 3: "3", 0.01234: "0.0123", 1.234: "1.23", 12.34: "12.3", 123.4: "123", 1234567: "1,234,567", -1234: "-1,234", math.Inf(1): "–"} {
		if got := Number(v); got != want {
			t.Errorf("%v: %s, not %s", v, got, want)
		}
	}
}

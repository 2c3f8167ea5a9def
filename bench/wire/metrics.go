package wire

import (
	"fmt"
	"strconv"
	"strings"
)

// Metrics is one page of metrics: the samples of each name, in their order. It
// is read here, in sixty lines, because the parser of the Prometheus project
// would bring protobuf into whatever observes, nodes among them; a test of
// `rookery top` compares the two on a node's page.
type Metrics map[string][]Sample

// Sample is one line of the page.
type Sample struct {
	Labels map[string]string // nil: none
	Value  float64
}

// ParseMetrics reads a page in Prometheus text format, version 0.0.4. Comments
// and times of samples are passed over.
func ParseMetrics(page string) (Metrics, error) {
	all := Metrics{}
	n := 0
	for line := range strings.Lines(page) {
		n++
		line = strings.Trim(line, " \t\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		name, s, err := parseSample(line)
		if err != nil {
			return nil, fmt.Errorf("metrics, line %d: %w", n, err)
		}
		all[name] = append(all[name], s)
	}
	return all, nil
}

func parseSample(line string) (name string, s Sample, err error) {
	end := strings.IndexAny(line, "{ \t")
	if end <= 0 {
		return "", s, fmt.Errorf("%q has no value", line)
	}
	name, rest := line[:end], line[end:]
	if rest[0] == '{' {
		if s.Labels, rest, err = parseLabels(rest[1:]); err != nil {
			return "", s, err
		}
	}
	fields := strings.Fields(rest)
	if len(fields) != 1 && len(fields) != 2 { // a value, and perhaps its time
		return "", s, fmt.Errorf("%q has no value", line)
	}
	if s.Value, err = strconv.ParseFloat(fields[0], 64); err != nil {
		return "", s, fmt.Errorf("%q is not a number", fields[0])
	}
	return name, s, nil
}

// parseLabels reads what stands behind the opening brace and returns what
// follows the closing one.
func parseLabels(text string) (labels map[string]string, rest string, err error) {
	labels = map[string]string{}
	for {
		text = strings.TrimLeft(text, ", \t")
		if rest, ok := strings.CutPrefix(text, "}"); ok {
			return labels, rest, nil
		}
		name, value, ok := strings.Cut(text, "=")
		value = strings.TrimLeft(value, " \t")
		if !ok || !strings.HasPrefix(value, `"`) {
			return nil, "", fmt.Errorf("%q is not a label", text)
		}
		unquoted, rest, err := parseLabelValue(value[1:])
		if err != nil {
			return nil, "", err
		}
		labels[strings.TrimRight(name, " \t")] = unquoted
		text = rest
	}
}

// parseLabelValue reads up to the closing quote. The escapes are those of the
// format: backslash, quote and n.
func parseLabelValue(text string) (value, rest string, err error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:], nil
		case c == '\\' && i+1 < len(text):
			i++
			switch text[i] {
			case 'n':
				b.WriteByte('\n')
			case '\\', '"':
				b.WriteByte(text[i])
			default: // an unknown escape stands for itself
				b.WriteByte('\\')
				b.WriteByte(text[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", "", fmt.Errorf("%q has no closing quote", text)
}

// Has reports whether s has these labels: name, value, name, value...
func (s *Sample) Has(want ...string) bool {
	for i := 0; i+1 < len(want); i += 2 {
		if s.Labels[want[i]] != want[i+1] {
			return false
		}
	}
	return true
}

// Total adds the samples of a name up, whatever their labels; 0 without any.
func (m Metrics) Total(name string) (v float64) {
	for _, s := range m[name] {
		v += s.Value
	}
	return v
}

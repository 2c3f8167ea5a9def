package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// value is a setting of type T as a pflag.Value: one parser serves flags,
// variables and files, so that all three refuse the same input with the same
// words.
type value[T any] struct {
	p      *T
	kind   string // shown in --help
	parse  func(string) (T, error)
	format func(T) string
}

func (v *value[T]) Set(s string) error {
	x, err := v.parse(s)
	if err != nil {
		return err
	}
	*v.p = x
	return nil
}

func (v *value[T]) String() string { return v.format(*v.p) }
func (v *value[T]) Type() string   { return v.kind }

// native is the value as JSON should show it.
func (v *value[T]) native() any {
	switch x := any(*v.p).(type) {
	case time.Duration:
		return x.String()
	case []string:
		if x == nil {
			return []string{}
		}
	}
	return *v.p
}

// address is "host:port", "unix:/path" or empty, which turns a listener off.
func address(p *string) *value[string] {
	return &value[string]{p, "address", parseAddress, func(s string) string { return s }}
}

func parseAddress(s string) (string, error) {
	if s == "" {
		return s, nil
	}
	if path, ok := strings.CutPrefix(s, "unix:"); ok {
		if path == "" {
			return "", errors.New(`"unix:" needs a path`)
		}
		return s, nil
	}
	_, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", fmt.Errorf("%q is not HOST:PORT or unix:/PATH", s)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > math.MaxUint16 {
		return "", fmt.Errorf("port %q is not a number from 0 to 65535", port)
	}
	return s, nil
}

// text is any string that check accepts.
func text(p *string, kind string, check func(string) error) *value[string] {
	parse := func(s string) (string, error) { return s, check(s) }
	return &value[string]{p, kind, parse, func(s string) string { return s }}
}

// choice is one of options.
func choice(p *string, options ...string) *value[string] {
	return text(p, strings.Join(options, "|"), func(s string) error {
		if !slices.Contains(options, s) {
			return fmt.Errorf("%q is not one of %s", s, strings.Join(options, ", "))
		}
		return nil
	})
}

// count is a whole number from low to high.
func count(p *int, low, high int) *value[int] {
	parse := func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		switch {
		case err != nil:
			return 0, fmt.Errorf("%q is not a whole number", s)
		case n < low || n > high:
			return 0, fmt.Errorf("%d is not between %d and %d", n, low, high)
		}
		return n, nil
	}
	return &value[int]{p, "number", parse, strconv.Itoa}
}

// interval is a duration with a unit, not below low.
func interval(p *time.Duration, low time.Duration) *value[time.Duration] {
	parse := func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		switch {
		case err != nil:
			return 0, fmt.Errorf("%q is not a duration such as 500ms, 30s or 10m", s)
		case d < low:
			return 0, fmt.Errorf("%v is shorter than %v", d, low)
		}
		return d, nil
	}
	return &value[time.Duration]{p, "duration", parse, time.Duration.String}
}

// units of sizes, largest first.
var units = []struct {
	suffix string
	bytes  int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}}

// size is a number of bytes, plain or in KiB, MiB or GiB, from low to high.
func size(p *int64, low, high int64) *value[int64] {
	parse := func(s string) (int64, error) {
		n, err := parseSize(s)
		switch {
		case err != nil:
			return 0, err
		case n < low || n > high:
			return 0, fmt.Errorf("%s is not between %s and %s", formatSize(n), formatSize(low), formatSize(high))
		}
		return n, nil
	}
	return &value[int64]{p, "size", parse, formatSize}
}

func parseSize(s string) (int64, error) {
	digits, factor := s, int64(1)
	for _, u := range units {
		if d, ok := strings.CutSuffix(s, u.suffix); ok {
			digits, factor = strings.TrimSpace(d), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/factor {
		return 0, fmt.Errorf("%q is not a size such as 65536, 64KiB or 16MiB", s)
	}
	return n * factor, nil
}

func formatSize(n int64) string {
	for _, u := range units {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}

// list is a comma-separated list whose elements each accepts; a later Set
// replaces an earlier one.
func list(p *[]string, kind string, each func(string) error) *value[[]string] {
	parse := func(s string) ([]string, error) {
		var all []string
		for _, e := range strings.Split(s, ",") {
			if e = strings.TrimSpace(e); e == "" {
				continue
			}
			if err := each(e); err != nil {
				return nil, err
			}
			all = append(all, e)
		}
		return all, nil
	}
	return &value[[]string]{p, kind, parse, func(l []string) string { return strings.Join(l, ",") }}
}

func checkHostPort(s string) error {
	if strings.HasPrefix(s, "unix:") {
		return fmt.Errorf("%q is not HOST:PORT", s)
	}
	_, err := parseAddress(s)
	return err
}

// checkJoin accepts an address or file:PATH.
func checkJoin(s string) error {
	if path, ok := strings.CutPrefix(s, "file:"); ok {
		if path == "" {
			return errors.New(`"file:" needs a path`)
		}
		return nil
	}
	return checkHostPort(s)
}

func checkAny(string) error { return nil }

// checkOrigin accepts what a browser sends as Origin: scheme://host[:port].
func checkOrigin(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("%q is not an origin such as https://app.example.com", s)
	}
	return nil
}

// checkName accepts names that may stand in metrics, logs and gossip.
func checkName(s string) error {
	if s == "" || len(s) > 64 {
		return errors.New("a name has 1 to 64 characters")
	}
	for _, r := range s {
		if !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", r) {
			return fmt.Errorf("%q: a name is made of letters, digits, '-', '_' and '.'", s)
		}
	}
	return nil
}

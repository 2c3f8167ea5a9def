package suite

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Scale is how large a run is.
type Scale struct {
	Name    string
	Clients int
	// Ramps are the numbers of clients to which it is ramped, ascending; the
	// last is Clients.
	Ramps []int
	// RampRate is how many clients are opened a second; above the bar, so that
	// the bar can be met.
	RampRate float64
	// Rate and SessionRate are the calls a second over TCP and over MCP
	// sessions at which latency is measured, HoldRate those while connections
	// are held.
	Rate, SessionRate, HoldRate float64
	// Tick is how long the load generator sleeps at least (load.Options). At the
	// largest scales it shares nearly full processors with the nodes.
	Tick time.Duration
	// Measure is how long each figure of rate and latency is measured, Holds
	// for how long connections are held.
	Measure time.Duration
	Holds   [2]time.Duration
	// Slack divides rates and multiplies times in the limits: 1 for the scale
	// they are made for, more where a run is to show that all works, on a
	// machine that does other things too.
	Slack float64
}

// Scales are those with a name.
var Scales = []Scale{
	{
		Name: "small", Clients: 2000, Ramps: []int{100, 1000, 2000}, RampRate: 2000, Rate: 1300, SessionRate: 650, HoldRate: 200,
		Measure: time.Second, Holds: [2]time.Duration{time.Second, 2 * time.Second}, Slack: 20,
	},
	{
		Name: "10k", Clients: 10_000, Ramps: []int{100, 1000, 10_000}, RampRate: 12_000, Rate: 12_625, SessionRate: 6060, HoldRate: 1000,
		Measure: 10 * time.Second, Holds: [2]time.Duration{10 * time.Second, 20 * time.Second}, Slack: 2,
	},
	{
		Name: "100k", Clients: 100_000, Ramps: []int{100, 1000, 10_000, 25_000, 100_000}, RampRate: 12_000, Rate: 25_250, SessionRate: 12_120, HoldRate: 2000,
		Tick:    2 * time.Millisecond,
		Measure: 30 * time.Second, Holds: [2]time.Duration{5 * time.Minute, 10 * time.Minute}, Slack: 1,
	},
	{
		Name: "200k", Clients: 200_000, Ramps: []int{100, 1000, 10_000, 25_000, 100_000, 200_000}, RampRate: 12_000, Rate: 25_250, SessionRate: 12_120, HoldRate: 2000,
		Tick:    2 * time.Millisecond,
		Measure: 30 * time.Second, Holds: [2]time.Duration{5 * time.Minute, 10 * time.Minute}, Slack: 1,
	},
}

// ScaleNames returns the names of Scales.
func ScaleNames() (names []string) {
	for _, s := range Scales {
		names = append(names, s.Name)
	}
	return names
}

// ScaleNamed returns the scale of that name.
func ScaleNamed(name string) (Scale, error) {
	i := slices.IndexFunc(Scales, func(s Scale) bool { return s.Name == name })
	if i < 0 {
		return Scale{}, fmt.Errorf("suite: no scale %q; there are %s", name, strings.Join(ScaleNames(), ", "))
	}
	return Scales[i], nil
}

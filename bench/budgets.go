package bench

import (
	"bytes"
	_ "embed" // for the budgets
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// ErrBudget is wrapped by the error of a measurement that was made, and is
// worse than its budget allows.
var ErrBudget = errors.New("over budget")

//go:embed budgets.json
var builtinBudgets []byte

const budgetsSchema = 1

// noBudgets as the name of the file checks nothing.
const noBudgets = "off"

// Budgets are what the server may cost. They hold for rookery and for its
// adapter; baselines have none.
type Budgets struct {
	Schema int `json:"schema"`
	Memory struct {
		// AtClients is the count for which the figures are meant: with fewer
		// clients the fixed costs weigh more, so nothing is checked.
		AtClients   int                   `json:"at_clients"`
		ZeroBytes   float64               `json:"zero_bytes"`
		BurstGrowth float64               `json:"burst_growth"`
		Kinds       map[Kind]MemoryBudget `json:"kinds"`
		// Adapter bounds the slope of the Go SDK's server behind mcp/gosdk.
		Adapter map[Kind]float64 `json:"adapter"`
	} `json:"memory"`
	// CPURatio is by the name of the comparison.
	CPURatio map[string]float64 `json:"cpu_ratio"`
	// ConnectionsPerSecond is a lower bound.
	ConnectionsPerSecond float64      `json:"connections_per_second"`
	GC                   GCBudget     `json:"gc"`
	Fanout               FanoutBudget `json:"fan_out"`
}

// MemoryBudget bounds the bytes per client.
type MemoryBudget struct {
	Average float64 `json:"average"`
	Slope   float64 `json:"slope"`
}

// GCBudget bounds the slowest pause over at least Cycles collections, while
// the machine is busy for at most CPUShare of its time.
type GCBudget struct {
	PauseMax  time.Duration `json:"pause_max_ns"`
	Cycles    uint64        `json:"cycles"`
	CPUShare  float64       `json:"cpu_share"`
	AtClients int           `json:"at_clients"`
}

// FanoutBudget bounds the median time until the last client has a change.
type FanoutBudget struct {
	TookMax   time.Duration `json:"took_max_ns"`
	AtClients int           `json:"at_clients"`
}

// Breach is one figure beyond its budget.
type Breach struct {
	What   string  `json:"what"`
	Got    float64 `json:"got"`
	Budget float64 `json:"budget"`
	Unit   string  `json:"unit"`
}

func (b Breach) String() string {
	return fmt.Sprintf("%s: %s, budget %s %s", b.What, figure(b.Got), figure(b.Budget), b.Unit)
}

// figure writes a number with the digits that matter.
func figure(v float64) string {
	if v >= 100 || v <= -100 {
		return thousands(int64(v + 0.5))
	}
	return fmt.Sprintf("%.2f", v)
}

// breachError returns an error that lists list, nil when it is empty.
func breachError(list []Breach) error {
	if len(list) == 0 {
		return nil
	}
	var text strings.Builder
	for _, b := range list {
		fmt.Fprintf(&text, "\n  %s", b)
	}
	return fmt.Errorf("bench: %w:%s", ErrBudget, text.String())
}

// loadBudgets reads path; "" are the budgets of this build, "off" are none
// (nil).
func loadBudgets(path string) (*Budgets, error) {
	text := builtinBudgets
	switch path {
	case noBudgets:
		return nil, nil
	case "":
		path = "built in"
	default:
		read, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("bench: budgets: %w", err)
		}
		text = read
	}
	var b Budgets
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&b); err != nil {
		return nil, fmt.Errorf("bench: budgets (%s): %w", path, err)
	}
	if b.Schema != budgetsSchema {
		return nil, fmt.Errorf("bench: budgets (%s): schema %d, this program reads %d", path, b.Schema, budgetsSchema)
	}
	kinds := slices.Concat(slices.Collect(maps.Keys(b.Memory.Kinds)), slices.Collect(maps.Keys(b.Memory.Adapter)))
	for _, kind := range kinds {
		if err := kind.check(); err != nil {
			return nil, fmt.Errorf("bench: budgets (%s): %w", path, err)
		}
	}
	return &b, nil
}

// checkMem returns the breaches of a row and whether it could be checked.
func (b *Budgets) checkMem(row *MemRow) (list []Breach, checked bool) {
	if row.Points[len(row.Points)-1].Clients < b.Memory.AtClients {
		return nil, false
	}
	over := func(what string, got, most float64, unit string) {
		if got > most {
			list = append(list, Breach{What: what, Got: got, Budget: most, Unit: unit})
		}
	}
	if row.Server == adapter {
		slope, ok := b.Memory.Adapter[row.Kind]
		if ok {
			over(row.Server+" "+string(row.Kind)+", slope", row.Slope.Median, slope, "bytes a client")
		}
		return list, ok
	}
	budget, ok := b.Memory.Kinds[row.Kind]
	if !ok {
		return nil, false
	}
	kind := string(row.Kind)
	over(kind+", average", row.Average.Median, budget.Average, "bytes a client")
	over(kind+", slope", row.Slope.Median, budget.Slope, "bytes a client")
	over(kind+", without clients", row.Zero.Median, b.Memory.ZeroBytes, "bytes")
	if row.Burst != nil {
		over(kind+", after a burst", 100*row.Burst.Growth.Median, 100*b.Memory.BurstGrowth, "% more")
	}
	return list, true
}

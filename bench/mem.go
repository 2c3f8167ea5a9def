package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/rookery-server/rookery/memprof"
)

// Defaults of a measurement of memory.
var (
	defaultCounts   = []int{500, 2000, 6000, 18000}
	quickCounts     = []int{6000, 18000}
	baselineCount   = 3000
	quickBaseline   = 1000
	defaultRuns     = 5
	baselineRunsMax = 3 // baselines are tens of kilobytes a client: their spread is small
)

// reserved descriptors are kept for everything that is not an idle client: the
// listeners, the pool of a burst, what a server sets aside for its admins.
const reserved = 512

// MemOptions say what RunMem measures. Self and Server must be set.
type MemOptions struct {
	Self     []string      // command with the hidden subcommands of this package
	Server   string        // the rookery binary
	Args     []string      // more arguments for its serve command
	Baseline string        // the binary of bench/baseline; "": no baselines
	Kinds    []Kind        // default: all
	Counts   []int         // ascending; default: 500, 2,000, 6,000, 18,000, less where descriptors are few; the last is the most for Waiting and events
	Runs     int           // default 5
	Quick    bool          // one run, the last two counts, small baselines
	Timeout  time.Duration // of one step, such as opening all clients
	Settle   time.Duration // for which memory must be quiet to be read; default 4 s
	Budgets  *Budgets      // nil: none

	progress *progress
}

// RunMem measures what idle clients cost and returns the report. The error is
// nil when a budget is exceeded: see MemReport.Breaches. All processes that it
// starts have ended when it returns.
func RunMem(ctx context.Context, o MemOptions) (*MemReport, error) {
	machine, err := ThisMachine()
	if err != nil {
		return nil, err
	}
	r := &MemReport{Schema: MemSchema, Taken: time.Now().UTC(), Machine: machine, Notes: []string{}, Breaches: []Breach{}}
	subjects, err := o.subjects(r)
	if err != nil {
		return nil, err
	}
	if _, err := memprof.ReadSlabs(); err != nil {
		r.note("kernel memory is missing: %v", err)
	}
	b := &memBench{self: o.Self, timeout: o.Timeout, settle: o.Settle, progress: o.progress}
	if b.progress == nil {
		b.progress = &progress{}
	}
	if b.settle <= 0 {
		b.settle = defaultSettle
	}
	defer b.progress.clear()
	runs, err := b.all(ctx, subjects)
	if err != nil {
		return nil, err
	}
	for i, s := range subjects {
		row := newMemRow(s, runs[i])
		if s.full {
			a, err := b.explain(ctx, s)
			if err != nil {
				return nil, err
			}
			row.addAccount(s, a)
			r.check(o.Budgets, &row)
		}
		r.Rows = append(r.Rows, row)
	}
	if err := b.states(ctx, &o, r); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *MemReport) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

func (r *MemReport) check(b *Budgets, row *MemRow) {
	if b == nil {
		return
	}
	list, checked := b.checkMem(row)
	if !checked {
		r.note("%s %s: budgets are not checked, they are meant for %s clients", row.Server, row.Kind, thousands(b.Memory.AtClients))
	}
	r.Breaches = append(r.Breaches, list...)
}

// all measures every subject as often as it wants, in turns, so that a slow
// change of the machine meets all of them alike.
func (b *memBench) all(ctx context.Context, subjects []*subject) ([][]memRun, error) {
	runs := make([][]memRun, len(subjects))
	most := 0
	for _, s := range subjects {
		most = max(most, s.runs)
	}
	for run := range most {
		for i, s := range subjects {
			if run >= s.runs {
				continue
			}
			r, err := b.measure(ctx, s, run+1)
			if err != nil {
				return nil, fmt.Errorf("%s, run %d: %w", s.name(), run+1, err)
			}
			runs[i] = append(runs[i], r)
		}
	}
	return runs, nil
}

// subjects returns what is to be measured, and notes what is left out.
func (o *MemOptions) subjects(r *MemReport) ([]*subject, error) {
	counts, err := o.counts(r)
	if err != nil {
		return nil, err
	}
	runs := o.Runs
	if runs <= 0 {
		runs = defaultRuns
	}
	if o.Quick {
		runs = 1
	}
	kinds := o.Kinds
	if len(kinds) == 0 {
		kinds = memKinds
	}
	var list []*subject
	for _, kind := range kinds {
		if slices.Contains(stateKinds, kind) {
			continue // measured on its own
		}
		if !slices.Contains(idleKinds, kind) {
			return nil, fmt.Errorf("bench: no kind of idle client is called %q (there are %v)", kind, memKinds)
		}
		list = append(list, &subject{program: rookeryProgram(o.Server, o.Args), kind: kind, counts: counts, runs: runs, full: true})
	}
	if o.Baseline == "" {
		r.note("baselines are not measured: build them with `make baseline`, or name them with --baseline")
		return list, nil
	}
	if _, err := os.Stat(o.Baseline); err != nil {
		return nil, fmt.Errorf("bench: baselines: %w; build them with `make baseline`", err)
	}
	for _, kind := range adapterKinds {
		if slices.Contains(kinds, kind) {
			list = append(list, &subject{
				program: adapterProgram(o.Baseline), kind: kind, counts: counts, runs: min(runs, baselineRunsMax), full: true,
			})
		}
	}
	count := min(baselineCount, counts[len(counts)-1])
	if o.Quick {
		count = min(quickBaseline, count)
	}
	for _, base := range memBaselines {
		if slices.Contains(kinds, base.beside) {
			list = append(list, &subject{
				program: baselineProgram(o.Baseline, base.name, base.raw), kind: base.kind,
				counts: []int{max(1, count/3), count}, runs: min(runs, baselineRunsMax),
			})
		}
	}
	return list, nil
}

// adapterKinds are the clients that the adapter is measured with, as ours are.
var adapterKinds = []Kind{Stream, Listen}

// memBaselines are the servers to compare with: name holds clients of kind,
// shown when ours of the kind beside are measured.
var memBaselines = []struct {
	name   string
	kind   Kind
	beside Kind
	raw    bool
}{
	{"std", TCP, TCP, true},
	{"netpoll", TCP, TCP, true},
	{"httpsse", SSE, Stream, false},
	{"gosdk", Stream, Stream, false},
	{"mcpgo", Stream, Stream, false},
	{"gosdk-stateless", Listen, Listen, false},
}

// counts returns the counts to measure at, fitted to the descriptor limit.
func (o *MemOptions) counts(r *MemReport) ([]int, error) {
	most := r.Machine.Descriptors - reserved
	if most < 1 {
		return nil, fmt.Errorf("bench: a limit of %d descriptors leaves none for clients: raise `ulimit -Hn`", r.Machine.Descriptors)
	}
	if len(o.Counts) > 0 {
		return o.Counts, checkCounts(o.Counts, most)
	}
	counts := defaultCounts
	if o.Quick {
		counts = quickCounts
	}
	if last := counts[len(counts)-1]; last > most {
		r.note("the descriptor limit (%s) allows %s clients, not %s: raise `ulimit -Hn`",
			thousands(r.Machine.Descriptors), thousands(most), thousands(last))
		counts = slices.Clone(counts)
		for i := range counts {
			counts[i] = max(i+1, counts[i]*most/last)
		}
	}
	return counts, nil
}

func checkCounts(counts []int, most int) error {
	if counts[0] < 1 {
		return errors.New("bench: counts start at 1")
	}
	for i := range counts[1:] {
		if counts[i+1] <= counts[i] {
			return fmt.Errorf("bench: counts must ascend, and %d does not follow %d", counts[i+1], counts[i])
		}
	}
	if last := counts[len(counts)-1]; last > most {
		return fmt.Errorf("bench: %s clients need more descriptors than the limit leaves: ask for %s at most, or raise `ulimit -Hn`",
			thousands(last), thousands(most))
	}
	return nil
}

package cluster

import (
	"flag"
	"fmt"
	"hash/fnv"
	"maps"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rookery-server/rookery/shard"
)

// The simulation runs whole clusters in one goroutine, with their links, on a
// network and a clock of its own. One number, the seed, decides everything that
// happens, so that what failed once fails again:
//
//	go test ./cluster -run TestSimulation -seed 4711 -simtrace
//	go test ./cluster -run TestSimulation -simcount 0 -simtime 2m -simseed $(git rev-parse HEAD)
var (
	simCount   = flag.Uint64("simcount", 12, "how many seeds TestSimulation tries; 0: for simtime")
	simTime    = flag.Duration("simtime", time.Minute, "how long TestSimulation tries seeds")
	simSeed    = flag.String("simseed", "", "any text: which seeds TestSimulation tries")
	seedFlag   = flag.Uint64("seed", 0, "the only seed of TestSimulation")
	simTrace   = flag.Bool("simtrace", false, "print what happens")
	simKeep    = flag.Bool("simkeep", false, "go on after a failing seed and list all")
	simStrict  = flag.Bool("simstrict", false, "what docs/cluster.md does not promise is a failure too")
	simWorkers = flag.Int("simworkers", 0, "processes of each node")
	simWithout = flag.String("simwithout", "", "faults that seeds do without, with commas between")
	simFault   = flag.String("simfaults", "", "faults of all seeds, with commas between")
)

func TestSimulation(t *testing.T) {
	if *simWithout != "" && *simFault == "" {
		t.Logf("without: %s (-simwithout= tries them too)", *simWithout)
	}
	if *seedFlag != 0 {
		if err := simulate(*seedFlag, *simTrace); err != nil {
			t.Fatalf("seed %d: %v", *seedFlag, err)
		}
		return
	}
	h := fnv.New64a()
	h.Write([]byte(*simSeed))
	s := seeds{t: t, first: h.Sum64() >> 20, begin: time.Now(), count: *simCount}
	if !given("simcount") && testing.Short() {
		s.count = 2 // each is one goroutine's: the race detector finds nothing in it
	}
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(s.try)
	}
	wg.Wait()
	s.report()
}

// report says what was found.
func (s *seeds) report() {
	for _, why := range slices.Sorted(maps.Keys(s.doubled)) {
		s.t.Logf("%d events came twice: %s", s.doubled[why], why)
	}
	s.t.Logf("%d seeds with %d partitions, %d failed, %.1f a second", s.n, shard.Partitions, s.failed, float64(s.n)/time.Since(s.begin).Seconds())
}

// given reports whether a flag stands on the command line.
func given(name string) (there bool) {
	flag.Visit(func(f *flag.Flag) { there = there || f.Name == name })
	return there
}

// seeds are tried by a goroutine for each processor.
type seeds struct {
	t     *testing.T
	first uint64
	count uint64 // 0: until simTime is over
	begin time.Time

	mu      sync.Mutex
	n       uint64         // guarded by mu; begun
	failed  int            // guarded by mu; seeds
	doubled map[string]int // guarded by mu; events, by excuse
}

// next returns a seed that is to be tried, if any is left. One that fails is
// the last, unless simKeep.
func (s *seeds) next() (seed uint64, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.failed > 0 && !*simKeep,
		s.count > 0 && s.n == s.count,
		s.count == 0 && time.Since(s.begin) >= *simTime:
		return 0, false
	}
	s.n++
	return s.first + s.n, true
}

func (s *seeds) try() {
	for seed, ok := s.next(); ok; seed, ok = s.next() {
		w := newWorld(seed, false)
		s.tried(seed, w, w.run())
	}
}

func (s *seeds) tried(seed uint64, w *world, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.doubled == nil {
		s.doubled = map[string]int{}
	}
	for why, n := range w.doubled {
		s.doubled[why] += n
	}
	if err != nil {
		s.failed++
		s.t.Errorf("seed %d: %v\nto replay it:\n\t%s ./cluster -run '^TestSimulation$' -seed %d%s -simtrace", seed, err, goTest(), seed, decided())
	}
}

// goTest returns the command that tests with as many partitions as there are here:
// make simulate tries few of them too.
func goTest() string {
	if shard.Partitions == 1<<14 {
		return "go test"
	}
	const few = ".cache/few-partitions.json"
	return "make " + few + " && go test -overlay " + few
}

// decided returns the flags that decide, beside the seed, what happens.
func decided() (s string) {
	flag.Visit(func(f *flag.Flag) {
		switch f.Name {
		case "simworkers", "simwithout", "simfaults", "simstrict":
			s += fmt.Sprintf(" -%s='%s'", f.Name, f.Value)
		}
	})
	return s
}

// regressions are seeds that found something, each with what it was then.
var regressions = []struct {
	seed    uint64
	workers int    // 0: as the seed draws them
	faults  string // "": likewise
	what    string
}{
	{9170457781091, 0, "", "a session on its way was forgotten by the former home"},
	{12052664207511, 0, "", "the same, behind a link that was cut one way"},
	{594319277150, 0, "", "two sides of a split took over in one epoch"},
	{594322422698, 0, "split 2|2", "the same"},
	{588813204314, 0, "split 2|2", "a copy took over an epoch without its events"},
	{588002655220, 0, "split 2|2", "a client that both sides served missed an event"},
	{588003703877, 0, "", "the receiver of a handover was not named as the owner of its epoch"},
	{589814594724, 0, "", "publications were acknowledged while nobody had taken a session over"},
	{588003704072, 0, "", "the same"},
	{10519633208462, 0, "", "an acknowledged event was lost"},
	{606147214171, 0, "", "the same"},
	{608952155062, 0, "pause,kill two,kill", "the same"},
	{15194803114200, 0, "kill and split", "a client that came from one side to the other missed what only that had of before"},
	{15194803114318, 0, "kill and split", "the same"},
	{15194803114330, 0, "kill and split", "the same"},
	{15194803114332, 0, "kill and split", "the same"},
	{8091590864464, 2, "", "a copy that nobody kept was taken for one"},
	{8090677554614, 1, "", "where a client had heard an event was said before that it had been there: it came twice"},
	{8090677554671, 1, "", "the same"},
	{8091590864350, 2, "", "the same"},
}

// Most of them go another way now; they are cheap, and where they go they hold.
func TestSimulationRegressions(t *testing.T) {
	tried := regressions
	if testing.Short() {
		tried = tried[:1]
	}
	for _, r := range tried {
		w := newWorld(r.seed, false)
		w.faults, w.workers = r.faults, r.workers
		if err := w.run(); err != nil {
			t.Errorf("seed %d, faults %q (%s): %v", r.seed, r.faults, r.what, err)
		}
	}
}

// A seed gives the same history each time.
func TestSimulationIsDeterministic(t *testing.T) {
	for seed := uint64(1); seed <= 1; seed++ {
		a, b := newWorld(seed, false), newWorld(seed, false)
		errA, errB := a.run(), b.run()
		if a.history != b.history || a.now != b.now || fmt.Sprint(errA) != fmt.Sprint(errB) {
			t.Fatalf("seed %d: two histories, %x and %x (%v, %v)", seed, a.history, b.history, errA, errB)
		}
	}
}

func simulate(seed uint64, trace bool) error { return newWorld(seed, trace).run() }

package load

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestSize(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for text, want := range map[string]struct{ low, high int }{
		"64": {64, 64}, "64-1024": {64, 1024}, "10*9,20-30*1": {10, 30}, "5*0.5, 6": {5, 6},
	} {
		s, err := ParseSize(text)
		if err != nil {
			t.Fatal(err)
		}
		low, high := math.MaxInt, 0
		for range 10_000 {
			n := s.draw(r)
			low, high = min(low, n), max(high, n)
		}
		if low != want.low || high != want.high || s.longest() != want.high {
			t.Errorf("%s: drawn %d to %d, longest %d", text, low, high, s.longest())
		}
		var back Size
		b, err := json.Marshal(s)
		if err != nil || json.Unmarshal(b, &back) != nil || back.String() != s.String() {
			t.Errorf("%s became %s, %v", text, b, err)
		}
	}
	for _, bad := range []string{"", "x", "0", "-1", "5-4", "1-x", "1*0", "1*x", "1*-1", "2000000", "1,"} {
		if _, err := ParseSize(bad); !errors.Is(err, ErrOptions) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	var s Size
	if err := json.Unmarshal([]byte(`""`), &s); err != nil || !s.empty() {
		t.Error(err)
	}
	if json.Unmarshal([]byte(`"x"`), &s) == nil || json.Unmarshal([]byte(`1`), &s) == nil {
		t.Error("nonsense was taken")
	}
}

func TestTargets(t *testing.T) {
	got, err := ParseTargets(t.Context(), "127.0.0.1:7600, http://127.0.0.2:80/x?y=1,http://127.0.0.3/mcp")
	if err != nil || len(got) != 3 {
		t.Fatal(got, err)
	}
	for i, want := range []Target{
		{netip.MustParseAddrPort("127.0.0.1:7600"), "127.0.0.1:7600", "/mcp"},
		{netip.MustParseAddrPort("127.0.0.2:80"), "127.0.0.2:80", "/x?y=1"},
		{netip.MustParseAddrPort("127.0.0.3:80"), "127.0.0.3:80", "/mcp"},
	} {
		if got[i] != want || got[i].check(false) != nil || got[i].host() != want.Host {
			t.Errorf("%+v, want %+v", got[i], want)
		}
	}
	for _, bad := range []string{"", "127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", "127.0.0.1:x", "https://127.0.0.1/", "http://%zz/", "[::1]:80"} {
		if got, err := ParseTargets(t.Context(), bad); !errors.Is(err, ErrOptions) {
			t.Errorf("%q: %v, %v", bad, got, err)
		}
	}
	far := Target{Addr: netip.MustParseAddrPort("192.0.2.1:80")}
	if far.check(false) == nil || far.check(true) != nil || far.host() != "192.0.2.1:80" {
		t.Error("a target on another machine")
	}
	if (Target{Addr: got[0].Addr, Path: "/a\r\nb"}).check(false) == nil {
		t.Error("a path with a line end")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	good := Options{Protocol: JSONRPC, Clients: 1, Targets: []Target{{Addr: netip.MustParseAddrPort("127.0.0.1:1")}}}
	if o := good.filled(); o.check() != nil || o.Burst != 1 || o.Method != echo || o.Ramp != DefaultRamp {
		t.Fatalf("%+v: %v", o, o.check())
	}
	for name, spoil := range map[string]func(*Options){
		"protocol": func(o *Options) { o.Protocol = "x" }, "no target": func(o *Options) { o.Targets = nil },
		"clients": func(o *Options) { o.Clients = 0 }, "ramp": func(o *Options) { o.Ramp = -1 }, "rate": func(o *Options) { o.Rate = -1 },
		"rates": func(o *Options) { o.Rate = 1e9 }, "no number": func(o *Options) { o.Rate = math.NaN() }, "no share": func(o *Options) { o.Idle = math.NaN() },
		"no ramp": func(o *Options) { o.Ramp = math.NaN() }, "idle": func(o *Options) { o.Idle = 1.1 }, "notify": func(o *Options) { o.Notify = -1 },
		"burst": func(o *Options) { o.Burst = 65 }, "time": func(o *Options) { o.Think = -1 }, "tick": func(o *Options) { o.Tick, o.DropAfter = 2*time.Millisecond, time.Millisecond }, "slow tick": func(o *Options) { o.Tick = time.Second },
		"retry": func(o *Options) { o.RetryMin, o.RetryMax = 2, 1 },
		"pool":  func(o *Options) { o.Pool = -1 }, "processes": func(o *Options) { o.Processes = -1 }, "workload": func(o *Options) { o.Workload = "x" },
		"args": func(o *Options) { o.Args = json.RawMessage("{") }, "stream": func(o *Options) { o.NoStream = true },
		"remote": func(o *Options) { o.Targets = []Target{{Addr: netip.MustParseAddrPort("192.0.2.1:1")}} },
		"size":   func(o *Options) { o.Size.parts = []sizePart{{Weight: 1, From: -1}} },
	} {
		o := good
		spoil(&o)
		if f, err := Start(t.Context(), o); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
}

func TestStaff(t *testing.T) {
	for _, test := range []struct {
		clients, processes, descriptors int
		p                               Protocol
		want                            int // 0: an error
	}{
		{1000, 0, 20_000, JSONRPC, 1}, {100_000, 0, 20_000, JSONRPC, 6}, {100_000, 0, 20_000, Sessions, 6},
		{100_000, 8, 20_000, JSONRPC, 8}, {100_000, 5, 20_000, JSONRPC, 0}, {1, 0, 64, JSONRPC, 0}, {1 << 24, 0, 1024, JSONRPC, 0},
	} {
		o := Options{Clients: test.clients, Processes: test.processes, Protocol: test.p, Pool: 64, Targets: make([]Target, 4)}
		err := o.staff(test.descriptors)
		if test.want == 0 && !errors.Is(err, ErrOptions) || test.want > 0 && (err != nil || o.Processes != test.want || len(o.Self) != 3) {
			t.Errorf("%+v: %d, %v", test, o.Processes, err)
		}
	}
}

// Source addresses are never those at which somebody listens.
func TestSources(t *testing.T) {
	const table = `  sl  local_address rem_address   st
   0: 0200007F:1DB0 00000000:0000 0A 00000000:00000000
   1: 00000000:0016 00000000:0000 0A 00000000:00000000
   2: 0300007F:9999 0100007F:1DB0 01 00000000:00000000
`
	list, err := listeners(bufio.NewScanner(strings.NewReader(table)))
	if err != nil || len(list) != 2 || list[0] != netip.MustParseAddr("127.0.0.2") {
		t.Errorf("%v, %v", list, err)
	}
	if _, err := listeners(bufio.NewScanner(strings.NewReader("\n 0: x 0 0A\n"))); err == nil {
		t.Error("nonsense was taken")
	}
	local := Target{Addr: netip.MustParseAddrPort("127.0.0.2:1")}
	got, err := sourcesFor([]Target{local})
	if err != nil || len(got) != sourceCount || got[0] == local.Addr.Addr() || got[0].As4()[3] < sourceFirst {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := sourcesFor([]Target{local, {Addr: netip.MustParseAddrPort("192.0.2.1:1")}}); err != nil || got != nil {
		t.Errorf("%v, %v", got, err)
	}
}

func TestArena(t *testing.T) {
	var a arena
	r := rand.New(rand.NewPCG(3, 4))
	held := map[int]string{}
	places := map[int]place{}
	for range 20_000 {
		i := r.IntN(50)
		if r.IntN(4) == 0 {
			a.drop(places[i])
			delete(held, i)
			delete(places, i)
			continue
		}
		text := strings.Repeat(string(rune('a'+i%26)), r.IntN(arenaLongest+1))
		places[i] = a.put(places[i], []byte(text))
		held[i] = text
	}
	for i, text := range held {
		if got := string(a.get(places[i])); got != text {
			t.Errorf("%d holds %q, want %q", i, got, text)
		}
	}
	if most := 50 * arenaStep * arenaClasses * arenaClasses / 2; len(a.bytes) > most {
		t.Errorf("%d bytes for 50 strings, more than %d", len(a.bytes), most)
	}
}

// A shape takes what differs in its fields alone.
func TestShape(t *testing.T) {
	const form = `{"jsonrpc":"2.0","id":12,"result":["abcdefgh"],"again":"abcdefgh"}`
	e := expected{12, []byte("abcdefgh")}
	var s shape
	if s.matches([]byte(form), e) {
		t.Error("nothing was learned yet")
	}
	s.learn([]byte(form), e)
	next := expected{12345, []byte("ijklmnopqrs")}
	good := strings.NewReplacer("12", "12345", "abcdefgh", "ijklmnopqrs").Replace(form)
	if !s.matches([]byte(form), e) || !s.matches([]byte(good), next) {
		t.Error("it does not match what it was learned from")
	}
	for i := range good {
		bad := []byte(good)
		bad[i]++
		if s.matches(bad, next) || s.matches(bad[:i], next) {
			t.Errorf("it matches %q", bad)
		}
	}
	if s.matches([]byte(good+"x"), next) {
		t.Error("it matches more than the message")
	}
	for _, odd := range []string{`{"id":1,"id":12}`, `{"x":["abcdefgh"]}`, `{"id":12,"x":{"id":12}}`} {
		s.learn([]byte(odd), e)
		want := odd == `{"id":1,"id":12}` // one id alone is e's
		if (s.parts != nil) != want && strings.Count(odd, `"id":12`) != 1 {
			t.Errorf("%s was learned", odd)
		}
	}
	s.learn([]byte(`{"id":12,"result":["ab"]}`), expected{12, []byte("ab")})
	if s.parts != nil {
		t.Error("a text that could be anywhere was learned")
	}
}

func TestGaps(t *testing.T) {
	var none *gaps
	if none.fill(1) {
		t.Error("nothing was missing")
	}
	g := &gaps{}
	for n := range uint32(gapsMax + 2) {
		g.add(n)
	}
	if g.more != 2 || !g.fill(5) || g.fill(5) || g.fill(gapsMax) || len(g.list) != gapsMax-1 {
		t.Errorf("%+v", g)
	}
}

func TestDayCurve(t *testing.T) {
	var sum, most, least float64
	least = math.Inf(1)
	for i := range daySteps {
		v := dayCurve(24 * float64(i) / daySteps)
		sum, most, least = sum+v, max(most, v), min(least, v)
	}
	if mean := sum / daySteps; math.Abs(mean-1) > 0.01 || most < 2 || least > 0.3 {
		t.Errorf("mean %.3f, most %.2f, least %.2f", mean, most, least)
	}
	o := Options{Workload: Day, Duration: 24 * time.Minute}.filled().ofDay()
	if o.Burst != dayBurst || o.Think != 2*time.Second/60 || !o.Poisson || o.scaled(time.Hour) != time.Minute {
		t.Errorf("%+v", o)
	}
}

// Errors of load processes are errors of the fleet.
func TestLoadProcessesFail(t *testing.T) {
	o := lineOptions(Target{Addr: netip.MustParseAddrPort("127.0.0.1:1")})
	o.Self = as(t, "babbling")
	if _, err := Start(testContext(t), o); err == nil || !strings.Contains(err.Error(), `it said "no answer"`) {
		t.Errorf("%v", err)
	}
	o.Self = []string{"/nothing"}
	if _, err := Start(testContext(t), o); err == nil {
		t.Error("a program that is not there was started")
	}
	o.Self = as(t, "mute")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := Start(ctx, o); !errors.Is(err, context.Canceled) && !errors.Is(err, errGone) {
		t.Errorf("%v", err)
	}
}

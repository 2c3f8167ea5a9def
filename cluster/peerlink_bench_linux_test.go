package cluster

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rookery-server/rookery/bench/corpus"
)

// A comparison of one peer link with a route of NATS on the same messages: from
// the call that publishes to the subscriber of the session, in one process over
// TLS on loopback, as bench/baseline nats-route does without TLS. Each iteration
// is a round of ours and theirs, so that a drift of the machine meets both:
//
//	make baseline
//	go test ./cluster -run '^$' -bench PeerLink -benchtime 5x
//
// Figures are medians of the rounds. Without bin/baseline there is no ratio.

const (
	peerLinkMessages = 500_000
	// peerLinkWindow is how many messages may be under way, as with NATS.
	peerLinkWindow = 1<<16 - 2048
)

// linkSession is a session of a linkStore.
type linkSession struct {
	home atomic.Uint32
	id   ID
}

// linkStore has only what a link's traffic needs: sessions that are looked up,
// and a subscriber that counts what comes for them. Other methods panic.
type linkStore struct {
	Store

	mu       sync.RWMutex
	byID     map[ID]uint64  // guarded by mu
	sessions []*linkSession // guarded by mu; by ref-1

	heard    atomic.Int64
	bytes    atomic.Int64
	progress chan struct{} // the window has moved
}

// Count implements Store: nobody here asks how many sessions there are.
func (st *linkStore) Count() (homes, copies int) { return 0, 0 }

func newLinkStore(ids []ID) *linkStore {
	st := &linkStore{byID: map[ID]uint64{}, progress: make(chan struct{}, 1)}
	for _, id := range ids {
		_, _ = st.Adopt(&Snapshot{Session: Session{ID: id}})
	}
	return st
}

func (st *linkStore) Find(id ID) (uint64, bool) {
	st.mu.RLock()
	defer st.mu.RUnlock()
	ref, ok := st.byID[id]
	return ref, ok
}

func (st *linkStore) Load(ref uint64) (Session, bool) {
	st.mu.RLock()
	defer st.mu.RUnlock()
	if ref == 0 || ref > uint64(len(st.sessions)) {
		return Session{}, false
	}
	s := st.sessions[ref-1]
	return Session{ID: s.id, Home: s.home.Load()}, true
}

func (st *linkStore) Range(from uint32, f func(uint64, Session) bool) {
	for ref := max(uint64(from), 1); ; ref++ {
		s, ok := st.Load(ref)
		if !ok || !f(ref, s) {
			return
		}
	}
}

func (st *linkStore) Digest(ref uint64) uint64 { return ref }

func (st *linkStore) Export(ref uint64, f func(*Snapshot)) bool {
	s, ok := st.Load(ref)
	if ok {
		f(&Snapshot{Session: s})
	}
	return ok
}

func (st *linkStore) Adopt(s *Snapshot) (uint64, error) {
	st.mu.Lock()
	defer st.mu.Unlock()
	one := &linkSession{id: s.ID}
	one.home.Store(s.Home)
	st.sessions = append(st.sessions, one)
	ref := uint64(len(st.sessions))
	st.byID[s.ID] = ref
	return ref, nil
}

func (st *linkStore) Append(_ uint64, e *Event) { st.hear(e.Msg) }

func (st *linkStore) SpreadTo(_ uint64, payload []byte, _ Origin, _ bool) error {
	st.hear(payload)
	return nil
}

func (st *linkStore) Commit(uint64, uint32) {}
func (st *linkStore) Latest(uint64) uint32  { return 0 }
func (st *linkStore) PeerGone(uint32)       {}

// hear is the subscriber.
func (st *linkStore) hear(msg []byte) {
	st.bytes.Add(int64(len(msg)))
	if st.heard.Add(1)%(peerLinkWindow/16) == 0 {
		st.moved()
	}
}

func (st *linkStore) moved() {
	select {
	case st.progress <- struct{}{}:
	default:
	}
}

// await waits until so many were heard.
func (st *linkStore) await(b *testing.B, heard int64) {
	for st.heard.Load() < heard {
		select {
		case <-st.progress:
		case <-time.After(time.Millisecond):
		}
		if b.Failed() {
			b.FailNow()
		}
	}
}

// fixedMembers are two nodes that are alive.
type fixedMembers struct {
	view    *View
	updates chan struct{}
}

func (m *fixedMembers) View() *View               { return m.view }
func (m *fixedMembers) Updates() <-chan struct{}  { return m.updates }
func (m *fixedMembers) Evidence(PeerID, Evidence) {}
func (m *fixedMembers) SetDraining(bool) error    { return nil }
func (m *fixedMembers) Joined() bool              { return true }

// linkPair is two engines and the link between them. a dials.
type linkPair struct {
	a, b   *Engine
	as, bs *linkStore
	port   int // on which b listens
}

// newLinkPair starts them; the sessions are at home at a, or at b.
func newLinkPair(b *testing.B, ids []ID, atB bool) *linkPair {
	p := &linkPair{as: newLinkStore(nil), bs: newLinkStore(nil)}
	if atB {
		p.bs = newLinkStore(ids)
	} else {
		p.as = newLinkStore(ids)
	}
	la, lb := meshListen(b, false), meshListen(b, false)
	view := &View{Version: 1}
	for i, addr := range []string{la.Addr().String(), lb.Addr().String()} {
		inc := testIncarnation()
		view.Nodes = append(view.Nodes, Node{
			Name: string(rune('a' + i)), Incarnation: inc, Addr: addr, State: Alive,
			Workers: []WorkerInfo{{Incarnation: inc, State: Alive}},
		})
	}
	start := func(i int, st *linkStore) *Engine {
		own := *view
		own.Self = view.Nodes[i].Name
		m := &fixedMembers{view: &own, updates: make(chan struct{}, 1)}
		m.updates <- struct{}{}
		e, err := NewEngine(EngineOptions{
			Self: view.Nodes[i].peer(&view.Nodes[i].Workers[0]), Label: "bench", Members: m, Store: st,
			TLS: keysTLS(b, testKeys), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		if err != nil {
			b.Fatal(err)
		}
		return e
	}
	p.a, p.b = start(0, p.as), start(1, p.bs)
	p.a.Start(la)
	p.b.Start(lb)
	b.Cleanup(func() {
		p.a.Close()
		p.b.Close()
	})
	_, port, _ := splitPort(lb.Addr().String())
	p.port = port
	meshEventually(b, "copies of all sessions", func() bool {
		one, other := p.a.Status(), p.b.Status()
		return one.Filled && other.Filled && len(p.as.all()) == len(ids) && len(p.bs.all()) == len(ids) && p.live(atB)
	})
	return p
}

func splitPort(addr string) (host string, port int, err error) {
	for i := len(addr) - 1; i >= 0; i-- {
		if addr[i] == ':' {
			port, err = strconv.Atoi(addr[i+1:])
			return addr[:i], port, err
		}
	}
	return "", 0, errors.New("no port")
}

func (st *linkStore) all() []*linkSession {
	st.mu.RLock()
	defer st.mu.RUnlock()
	return st.sessions
}

// live reports whether the home's changes go on the data lane.
func (p *linkPair) live(atB bool) bool {
	e := p.a
	if atB {
		e = p.b
	}
	e.core.mu.Lock()
	defer e.core.mu.Unlock()
	for _, l := range e.core.links {
		if l.state(0) != partLive {
			return false
		}
	}
	return len(e.core.links) == 1
}

// linkRun is one run: how fast, at what cost, how many bytes.
type linkRun struct {
	perSecond float64
	cpu       float64 // ns of processor time a message
	ratio     float64 // bytes on the wire ÷ bytes of JSON
}

// measure publishes messages and waits until all were heard.
func (p *linkPair) measure(b *testing.B, messages []corpus.Message, publish func(i int, m *corpus.Message)) linkRun {
	sent := bytesSentTo(b, p.port)
	cpu, start := processCPU(b), time.Now()
	for i := range messages {
		if i%1024 == 0 {
			p.bs.await(b, int64(i)-peerLinkWindow)
		}
		publish(i, &messages[i])
	}
	p.bs.await(b, int64(len(messages)))
	took := time.Since(start)
	return linkRun{
		perSecond: float64(len(messages)) / took.Seconds(),
		cpu:       float64(processCPU(b)-cpu) / float64(len(messages)),
		ratio:     float64(bytesSentTo(b, p.port)-sent) / float64(p.bs.bytes.Load()),
	}
}

// copied publishes to sessions at home at a: the subscriber is their copy at b.
func copied(b *testing.B, c *corpus.Corpus, messages []corpus.Message) linkRun {
	p := newLinkPair(b, c.SessionIDs(), false)
	core := p.a.core
	drawn := make([]uint32, len(c.SessionIDs())+1) // the latest event's number, by session
	return p.measure(b, messages, func(i int, m *corpus.Message) {
		ref, _ := p.as.Find(m.Session)
		drawn[ref]++
		core.Noted(ref, 1, drawn[ref], core.originOf(uint64(i+1), ""), m.JSON)
	})
}

// notified sends notifications to sessions at home at b, each of which is
// confirmed.
func notified(b *testing.B, c *corpus.Corpus, messages []corpus.Message) linkRun {
	p := newLinkPair(b, c.SessionIDs(), true)
	core := p.a.core
	return p.measure(b, messages, func(_ int, m *corpus.Message) {
		for {
			err := core.StartNotify(m.Session, m.JSON, "", nil)
			if err == nil {
				return
			}
			if !errors.Is(err, ErrCongested) {
				b.Fatal(err)
			}
			time.Sleep(100 * time.Microsecond) // reports are on their way
		}
	})
}

// natsRoute runs the other side.
func natsRoute(b *testing.B, path string, messages int) linkRun {
	cmd := exec.Command(path, "nats-route", "--mode", "payload", "--json", "--messages", strconv.Itoa(messages))
	out, err := cmd.Output()
	if err != nil {
		b.Fatal(err)
	}
	var r struct {
		PerSecond float64 `json:"messages_per_second"`
		Ratio     float64 `json:"wire_per_json"`
	}
	if err := json.Unmarshal(out, &r); err != nil {
		b.Fatal(err)
	}
	cpu := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return linkRun{perSecond: r.PerSecond, cpu: float64(cpu) / float64(messages), ratio: r.Ratio}
}

func BenchmarkPeerLink(b *testing.B) {
	// ROOKERY_BASELINE is for those who run the compiled benchmark elsewhere.
	baseline := cmp.Or(os.Getenv("ROOKERY_BASELINE"), filepath.Join("..", "bin", "baseline"))
	if _, err := os.Stat(baseline); err != nil {
		baseline = ""
	}
	runs := map[string][]linkRun{}
	ratios := map[string][]float64{}
	for range b.N {
		c := corpus.New()
		messages := c.Take(peerLinkMessages)
		ours := map[string]linkRun{"copy": copied(b, c, messages), "notify": notified(b, c, messages)}
		if baseline != "" {
			theirs := natsRoute(b, baseline, peerLinkMessages)
			runs["nats"] = append(runs["nats"], theirs)
			for name, r := range ours {
				ratios[name] = append(ratios[name], r.perSecond/theirs.perSecond)
			}
		}
		for name, r := range ours {
			runs[name] = append(runs[name], r)
		}
	}
	for name, list := range runs {
		b.ReportMetric(medianOf(list, func(r linkRun) float64 { return r.perSecond }), name+"-msg/s")
		b.ReportMetric(medianOf(list, func(r linkRun) float64 { return r.cpu }), name+"-cpu-ns")
		b.ReportMetric(medianOf(list, func(r linkRun) float64 { return r.ratio }), name+"-wire/json")
	}
	for name, list := range ratios {
		b.ReportMetric(medianOf(list, func(r float64) float64 { return r }), name+"/nats")
	}
}

func medianOf[T any](list []T, f func(T) float64) float64 {
	sorted := slices.Clone(list)
	slices.SortFunc(sorted, func(x, y T) int { return cmp.Compare(f(x), f(y)) })
	return f(sorted[len(sorted)/2])
}

// bytesSentTo returns what the connection of this process to a port has sent, as
// the kernel counts it: with TLS and without its own headers.
func bytesSentTo(b *testing.B, port int) uint64 {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		b.Fatal(err)
	}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		peer, err := unix.Getpeername(fd)
		if err != nil {
			continue // no connection
		}
		if in, ok := peer.(*unix.SockaddrInet4); ok && in.Port == port {
			info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
			if err != nil {
				b.Fatal(err)
			}
			return info.Bytes_acked
		}
	}
	b.Fatalf("no connection to port %d", port)
	return 0
}

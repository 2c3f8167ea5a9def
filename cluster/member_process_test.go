package cluster

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rookery-server/rookery/batch"
)

// These tests run four real processes, each with members and a mesh: the test
// binary itself, told by a variable to be one.
const processEnv = "ROOKERY_TEST_MEMBER" // NAME or NAME JOIN

// runProcess is such a process. It says what happens in lines: its gossip
// address first, then "up NODE" and "down NODE" for links and "is NODE STATE" for each
// view. It ends with its standard input.
func runProcess(spec string) error {
	name, join, _ := strings.Cut(spec, " ")
	keys, err := ParseKeys([]byte(strings.Repeat("cd23", 16)))
	if err != nil {
		return err
	}
	tlsConfig, err := keys.TLS()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	m, err := NewMembers(MembersOptions{
		Node: name, Gossip: "127.0.0.1:0", Peer: l.Addr().String(), Join: strings.Fields(join),
		Label: "processes", Keys: keys.Gossip(), Logger: log,
	})
	if err != nil {
		return err
	}
	if err := m.Start(); err != nil {
		return err
	}
	var out sync.Mutex
	say := func(format string, args ...any) {
		out.Lock()
		defer out.Unlock()
		fmt.Printf(format+"\n", args...)
	}
	say("gossip %s", m.GossipAddr())
	mesh, err := NewMesh(MeshOptions{
		Self: Peer{PeerID: m.Self(), Addr: l.Addr().String()}, Label: "processes", TLS: tlsConfig, Logger: log,
		Open: func(p Peer) Endpoint {
			o := batch.Options{Local: m.Self().Incarnation, Remote: p.Incarnation}
			return &testEnd{peer: p, o: o, link: batch.NewLink(o)}
		},
		Evidence: func(p Peer, e Evidence) {
			m.Evidence(p.PeerID, e)
			switch e {
			case LinkUp:
				say("up %s", p.Node)
			case LinkEOF, LinkLost, Silent:
				say("down %s", p.Node)
			}
		},
	})
	if err != nil {
		return err
	}
	go func() { _ = mesh.Serve(l) }()
	go func() {
		for range m.Updates() {
			v := m.View()
			mesh.SetPeers(v.Targets(nil))
			for i := range v.Nodes {
				say("is %s %s", v.Nodes[i].Name, v.Nodes[i].State)
			}
		}
	}()
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// process is one of them as the test sees it.
type process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{}

	mu     sync.Mutex
	gossip string
	is     map[string]string
	linked map[string]bool
	deaths []string // nodes it ever called dead
	log    strings.Builder
}

func startProcess(t *testing.T, name, join string) *process {
	t.Helper()
	p := &process{name: name, ended: make(chan struct{}), is: map[string]string{}, linked: map[string]bool{}}
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), processEnv+"="+strings.TrimSpace(name+" "+join))
	p.cmd.Stderr = p
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.stdin = stdin
	go func() {
		defer close(p.ended)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			p.read(strings.Fields(s.Text()))
		}
		_ = p.cmd.Wait() // killed, mostly
	}()
	t.Cleanup(func() {
		p.stdin.Close()
		_ = p.cmd.Process.Signal(syscall.SIGCONT)
		<-p.ended
		if t.Failed() {
			t.Logf("log of %s:\n%s", p.name, p.log.String())
		}
	})
	eventually(t, name+" starts", func() bool { return p.addr() != "" })
	return p
}

// Write takes its log.
func (p *process) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.Write(text)
}

func (p *process) read(words []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch words[0] {
	case "gossip":
		p.gossip = words[1]
	case "up", "down":
		p.linked[words[1]] = words[0] == "up"
	case "is":
		if words[2] == "dead" && p.is[words[1]] != "dead" {
			p.deaths = append(p.deaths, words[1])
		}
		p.is[words[1]] = words[2]
	}
}

func (p *process) addr() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gossip
}

func (p *process) sees(node string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.is[node]
}

func (p *process) has(node string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.is[node] == "alive" && (p.linked[node] || p.name == node)
}

func (p *process) condemned() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.deaths)
}

func (p *process) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func fourProcesses(t *testing.T) []*process {
	t.Helper()
	all := []*process{startProcess(t, "n1", "")}
	for _, name := range []string{"n2", "n3", "n4"} {
		all = append(all, startProcess(t, name, all[0].addr()))
	}
	awaitMesh(t, all)
	return all
}

// awaitMesh waits until all hold all for alive and have links to each other.
func awaitMesh(t *testing.T, all []*process) {
	t.Helper()
	for _, p := range all {
		for _, q := range all {
			eventually(t, p.name+" has "+q.name, func() bool { return p.has(q.name) })
		}
	}
}

// fromEnv is a number that a longer run sets.
func fromEnv(name string, standard int) int {
	n, _ := strconv.Atoi(os.Getenv(name))
	return cmp.Or(max(n, 0), standard)
}

// The figure: kill -9 until all others have the verdict. ROOKERY_KILLS=200 is
// the run that the documentation quotes.
func TestProcessesKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	all := fourProcesses(t)
	var took []time.Duration
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for i := range fromEnv("ROOKERY_KILLS", 2) {
		at := i % 4
		victim, others := all[at], slices.Delete(slices.Clone(all), at, at+1)
		settle := time.NewTimer(livedWell + 200*time.Millisecond) // until the mesh takes a lost link for news
		<-settle.C
		begin := time.Now()
		victim.signal(t, syscall.SIGKILL)
		for _, p := range others {
			for p.sees(victim.name) != "dead" {
				if time.Since(begin) > 30*time.Second {
					t.Fatalf("%s never noticed the death of %s", p.name, victim.name)
				}
				<-poll.C
			}
		}
		took = append(took, time.Since(begin))
		all[at] = startProcess(t, victim.name, others[0].addr())
		awaitMesh(t, all)
	}
	slices.Sort(took)
	t.Logf("%d kills, until the last of three others had the verdict: p50 %v, p99 %v, max %v",
		len(took), took[len(took)/2], took[len(took)*99/100], took[len(took)-1])
}

func TestProcessesStopped(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	all := fourProcesses(t)
	victim := all[3]

	// 300 ms: nobody is declared dead. On a busy machine the pause may become
	// longer than asked for; then it shows nothing, and is tried again.
	for try := 0; ; try++ {
		begin := time.Now()
		victim.signal(t, syscall.SIGSTOP)
		pause := time.NewTimer(300 * time.Millisecond)
		<-pause.C
		victim.signal(t, syscall.SIGCONT)
		long := time.Since(begin)
		settle := time.NewTimer(2 * time.Second)
		<-settle.C
		if long < 500*time.Millisecond {
			break
		}
		if try == 20 {
			t.Skipf("this machine cannot pause a process for 300 ms: it took %v", long)
		}
	}
	for _, p := range all {
		if d := p.condemned(); len(d) > 0 {
			t.Errorf("after 300 ms %s declared %v dead", p.name, d)
		}
	}

	// 5 s: dead to the others, who are not dead to it, and back.
	begin := time.Now()
	victim.signal(t, syscall.SIGSTOP)
	for _, p := range all[:3] {
		eventually(t, p.name+" declares it dead", func() bool { return p.sees(victim.name) == "dead" })
	}
	t.Logf("stopped: dead to all after %v", time.Since(begin).Round(time.Millisecond))
	rest := time.NewTimer(5*time.Second - time.Since(begin))
	<-rest.C
	begin = time.Now()
	victim.signal(t, syscall.SIGCONT)
	for _, p := range all[:3] {
		eventually(t, p.name+" takes it back", func() bool { return p.sees(victim.name) == "alive" })
	}
	t.Logf("continued: alive to all after %v", time.Since(begin).Round(time.Millisecond))
	for _, p := range all[:3] {
		eventually(t, "the stopped one sees "+p.name, func() bool { return victim.sees(p.name) == "alive" })
	}
	if d := victim.condemned(); len(d) > 0 {
		t.Errorf("the stopped one declared %v dead", d)
	}
}

// All processors busy: nobody is declared dead. ROOKERY_BUSY=60 is the run that
// the documentation quotes.
func TestProcessesStarved(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	all := fourProcesses(t)
	for range 2 * runtime.NumCPU() {
		burner := exec.Command(os.Args[0])
		burner.Env = append(os.Environ(), processEnv+"=burn")
		stdin, err := burner.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := burner.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			stdin.Close()
			_ = burner.Wait()
		})
	}
	busy := time.NewTimer(time.Duration(fromEnv("ROOKERY_BUSY", 5)) * time.Second)
	<-busy.C
	for _, p := range all {
		if d := p.condemned(); len(d) > 0 {
			t.Errorf("%s declared %v dead", p.name, d)
		}
	}
}

// burn keeps one processor busy until standard input ends.
func burn() error {
	done := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(done)
	}()
	for x := uint64(1); ; x = mixForTest(x) {
		if x&0xfff != 0 {
			continue
		}
		select {
		case <-done:
			return nil
		default:
		}
	}
}

func mixForTest(x uint64) uint64 { return x*6364136223846793005 + 1442695040888963407 }

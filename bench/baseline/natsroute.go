package main

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/rookery-server/rookery/bench/corpus"
)

// routeWait is how long nats-route waits for anything before it gives up.
const routeWait = time.Minute

// routeWindow is how many messages may be under way. Without a window the
// publisher outruns the subscriber until the server drops it as slow.
const routeWindow = 1 << 16

// routeModes are the ways in which a message can find its session, from the
// wire's point of view. None is the right one, so all are measured and the
// fastest counts.
var routeModes = map[string]routeMode{
	// The id goes in front of the payload, on one subject; the subscriber has a
	// table of sessions.
	"payload": {
		publish: func(c *nats.Conn, m *corpus.Message, buf []byte) error {
			return c.Publish("e", append(append(buf[:0], m.Session[:]...), m.JSON...))
		},
		subjects: func(*corpus.Corpus) []string { return []string{"e"} },
		session: func(m *nats.Msg) (id [16]byte, body []byte) {
			return [16]byte(m.Data), m.Data[len(id):]
		},
	},
	// The id is the subject, one subscription has them all.
	"wildcard": {
		publish:  publishToSession,
		subjects: func(*corpus.Corpus) []string { return []string{"s.*"} },
		session:  subjectSession,
	},
	// The id is the subject and every session has its subscription: the server
	// looks sessions up.
	"subject": {
		publish: publishToSession,
		subjects: func(c *corpus.Corpus) []string {
			var list []string
			for _, id := range c.SessionIDs() {
				list = append(list, "s."+hex.EncodeToString(id[:]))
			}
			return list
		},
		session: subjectSession,
	},
}

type routeMode struct {
	publish  func(c *nats.Conn, m *corpus.Message, buf []byte) error
	subjects func(*corpus.Corpus) []string
	session  func(*nats.Msg) (id [16]byte, body []byte)
}

func publishToSession(c *nats.Conn, m *corpus.Message, _ []byte) error {
	return c.Publish("s."+hex.EncodeToString(m.Session[:]), m.JSON)
}

func subjectSession(m *nats.Msg) (id [16]byte, body []byte) {
	if n, err := hex.Decode(id[:], []byte(m.Subject[len("s."):])); err != nil || n != len(id) {
		return [16]byte{}, nil
	}
	return id, m.Data
}

// routeResult is what one run says.
type routeResult struct {
	Mode        string  `json:"mode"`
	Compression string  `json:"compression"`
	Messages    int     `json:"messages"`
	Seconds     float64 `json:"seconds"`
	PerSecond   float64 `json:"messages_per_second"`
	JSONBytes   uint64  `json:"json_bytes"`
	WireBytes   uint64  `json:"wire_bytes"` // what the route's socket has sent
	Ratio       float64 `json:"wire_per_json"`
}

// natsRoute measures a route between two embedded NATS servers.
func natsRoute(args []string) error {
	flags := flag.NewFlagSet("nats-route", flag.ContinueOnError)
	count := flags.Int("messages", 1_000_000, "messages of the corpus to send")
	mode := flags.String("mode", "all", strings.Join(slices.Sorted(maps.Keys(routeModes)), ", ")+" or all")
	compression := flags.String("compression", server.CompressionS2Fast, "of the route, as NATS calls it")
	asJSON := flags.Bool("json", false, "print JSON, a line for each mode")
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil // it has been printed
	} else if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(routeModes))
	if *mode != "all" {
		names = []string{*mode}
	}
	for _, name := range names {
		if _, ok := routeModes[name]; !ok {
			return fmt.Errorf("no mode %q", name)
		}
		r, err := runRoute(name, *compression, *count)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := r.print(os.Stdout, *asJSON); err != nil {
			return err
		}
	}
	return nil
}

func (r *routeResult) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(r)
	}
	_, err := fmt.Fprintf(w, "%-8s  %-8s  %9.0f msg/s  %5.1f MB of JSON  %5.1f MB on the wire  ratio %.3f\n",
		r.Mode, r.Compression, r.PerSecond, float64(r.JSONBytes)/1e6, float64(r.WireBytes)/1e6, r.Ratio)
	return err
}

// runRoute sends count messages from a client of one server to a client of the
// other and waits until every one has reached its session.
func runRoute(name, compression string, count int) (*routeResult, error) {
	mode := routeModes[name]
	a, b, err := routePair(compression)
	if err != nil {
		return nil, err
	}
	defer stopRoute(a, b)
	from, err := nats.Connect("", nats.InProcessServer(a))
	if err != nil {
		return nil, err
	}
	defer from.Close()
	to, err := nats.Connect("", nats.InProcessServer(b))
	if err != nil {
		return nil, err
	}
	defer to.Close()

	c := corpus.New()
	in := newRouteInbox(c, uint64(count))
	if err := in.subscribe(to, mode, mode.subjects(c)); err != nil {
		return nil, err
	}
	if err := routeReady(a, len(mode.subjects(c))); err != nil {
		return nil, err
	}
	return in.measure(from, mode, c.Take(count), &routeResult{Mode: name, Compression: compression}, b.ClusterAddr().Port)
}

// routeInbox is the subscriber: a table of sessions that counts.
type routeInbox struct {
	sessions map[[16]byte]*uint64
	left     atomic.Int64
	strange  atomic.Uint64
	bytes    atomic.Uint64
	progress chan struct{} // the window has moved
}

func newRouteInbox(c *corpus.Corpus, count uint64) *routeInbox {
	in := &routeInbox{sessions: map[[16]byte]*uint64{}, progress: make(chan struct{}, 1)}
	in.left.Store(int64(count))
	for _, id := range c.SessionIDs() {
		in.sessions[id] = new(uint64)
	}
	return in
}

// subscribe lets one goroutine of the client have all messages.
func (in *routeInbox) subscribe(c *nats.Conn, mode routeMode, subjects []string) error {
	messages := make(chan *nats.Msg, 2*routeWindow)
	for _, subject := range subjects {
		sub, err := c.ChanSubscribe(subject, messages)
		if err != nil {
			return err
		}
		if err := sub.SetPendingLimits(-1, -1); err != nil && !errors.Is(err, nats.ErrTypeSubscription) {
			return err
		}
	}
	go func() {
		for m := range messages {
			id, body := mode.session(m)
			s := in.sessions[id]
			if s == nil {
				in.strange.Add(1)
				continue
			}
			*s++
			in.bytes.Add(uint64(len(body)))
			left := in.left.Add(-1)
			if left%(routeWindow/16) == 0 {
				select {
				case in.progress <- struct{}{}:
				default:
				}
			}
			if left == 0 {
				return
			}
		}
	}()
	return c.Flush()
}

// measure publishes messages and fills r.
func (in *routeInbox) measure(c *nats.Conn, mode routeMode, messages []corpus.Message, r *routeResult, port int) (*routeResult, error) {
	before, err := sentTo(port)
	if err != nil {
		return nil, err
	}
	buf := make([]byte, 0, 1024)
	start := time.Now()
	for i := range messages {
		if err := in.wait(len(messages) - i + routeWindow); err != nil {
			return nil, err
		}
		if err := mode.publish(c, &messages[i], buf); err != nil {
			return nil, err
		}
	}
	if err := c.Flush(); err != nil {
		return nil, err
	}
	if err := in.wait(0); err != nil {
		return nil, err
	}
	r.Seconds = time.Since(start).Seconds()
	after, err := sentTo(port)
	if err != nil {
		return nil, err
	}
	r.Messages = len(messages)
	r.PerSecond = float64(r.Messages) / r.Seconds
	r.JSONBytes, r.WireBytes = in.bytes.Load(), after-before
	r.Ratio = float64(r.WireBytes) / float64(r.JSONBytes)
	return r, nil
}

// wait returns when at most left messages are still to come.
func (in *routeInbox) wait(left int) error {
	for in.left.Load() > int64(left) {
		select {
		case <-in.progress:
		case <-time.After(routeWait):
			return fmt.Errorf("%d messages did not arrive, %d were strange", in.left.Load(), in.strange.Load())
		}
	}
	return nil
}

// routePair starts two servers joined by one connection.
func routePair(compression string) (a, b *server.Server, err error) {
	if b, err = startRoute("b", compression, nil); err != nil {
		return nil, nil, err
	}
	to, err := url.Parse(fmt.Sprintf("nats://127.0.0.1:%d", b.ClusterAddr().Port))
	if err != nil {
		return nil, nil, err
	}
	if a, err = startRoute("a", compression, to); err != nil {
		stopRoute(b)
		return nil, nil, err
	}
	if err := eventually(func() bool { return a.NumRoutes() == 1 && b.NumRoutes() == 1 }); err != nil {
		stopRoute(a, b)
		return nil, nil, fmt.Errorf("no route: %w", err)
	}
	return a, b, nil
}

func startRoute(name, compression string, to *url.URL) (*server.Server, error) {
	o := &server.Options{
		// Clients are in this process, but the server starts no routes without a
		// listener for clients.
		ServerName: name, Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true,
		Cluster: server.ClusterOpts{
			Name: "bench", Host: "127.0.0.1", Port: -1, PoolSize: -1, NoAdvertise: true,
			Compression: server.CompressionOpts{Mode: compression},
		},
	}
	if to != nil {
		o.Routes = []*url.URL{to}
	}
	s, err := server.NewServer(o)
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(routeWait) {
		stopRoute(s)
		return nil, errors.New("the server does not start")
	}
	return s, nil
}

func stopRoute(servers ...*server.Server) {
	for _, s := range servers {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// routeReady waits until s knows the subscriptions of the other server.
func routeReady(s *server.Server, subscriptions int) error {
	err := eventually(func() bool {
		z, err := s.Routez(nil)
		return err == nil && len(z.Routes) == 1 && int(z.Routes[0].NumSubs) >= subscriptions
	})
	if err != nil {
		return fmt.Errorf("subscriptions did not spread: %w", err)
	}
	return nil
}

// eventually polls, since the server tells nobody when its routes are up.
func eventually(ok func() bool) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(routeWait); time.Now().Before(deadline); <-tick.C {
		if ok() {
			return nil
		}
	}
	return errors.New("timeout")
}

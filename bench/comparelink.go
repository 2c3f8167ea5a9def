package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// linkBenchmark measures the peer link beside a NATS route, see package
// cluster. Its figures are medians of its rounds.
const linkBenchmark = "BenchmarkPeerLink"

// linkRows are what it measures, by the names of its metrics; the first is the
// one to which the others are compared.
var linkRows = []struct{ name, server, what string }{
	{"notify", ours, "rookery, peer link: notification by id, confirmed"},
	{"copy", ours + "-copy", "rookery, peer link: change of a copy"},
	{"nats", "nats-route", "NATS route, s2_fast"},
}

// link adds the rows of the link.
func (o *CompareOptions) link(ctx context.Context, r *CompareReport) error {
	if o.Link == "" {
		r.Notes = append(r.Notes, "the link between nodes is not measured: `make bench-compare` builds what it takes, or name it with --link")
		return nil
	}
	rounds := pick(o.Quick, compareQuickRounds, compareLinkRounds)
	o.progress.step("%s: %d rounds of rookery and NATS", compareLink, rounds)
	path, err := filepath.Abs(o.Link)
	if err != nil {
		return err
	}
	baseline, err := filepath.Abs(o.Baseline)
	if err != nil {
		return err
	}
	text, err := runToEnd(ctx, o.Self, []string{
		"env", "ROOKERY_BASELINE=" + baseline, path, "-test.run=^$", "-test.bench=^" + linkBenchmark + "$", "-test.benchtime=" + strconv.Itoa(rounds) + "x",
	})
	if err != nil {
		return err
	}
	rows, err := parseLink(text)
	r.Rows = append(r.Rows, rows...)
	return err
}

// runToEnd runs argv under a keeper and returns what it printed when it has
// ended. It ends with ctx, and with this process.
func runToEnd(ctx context.Context, self, argv []string) ([]byte, error) {
	var out buffer
	p, err := startLogged(append(append(self[:len(self):len(self)], keeperCommand, "--"), argv...), &out)
	if err != nil {
		return nil, err
	}
	_, err = p.line(ctx) // its process id
	if err == nil {
		_, err = p.line(ctx) // nothing, until it ends
	}
	stopped := p.stop()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if text := out.bytes(); strings.Contains(string(text), "ended by itself: "+errExitZero.Error()) {
		return text, nil
	}
	return nil, fmt.Errorf("bench: %s: %w", argv[len(argv)-1], errors.Join(err, stopped))
}

// buffer is a bytes.Buffer that several goroutines may use.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) bytes() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.text.Bytes())
}

// parseLink reads the line that the benchmark printed: pairs of a value and its
// unit behind its name and the number of rounds.
func parseLink(text []byte) ([]CompareRow, error) {
	metrics := map[string]float64{}
	for line := range bytes.Lines(text) {
		words := strings.Fields(string(line))
		if len(words) < 2 || !strings.HasPrefix(words[0], linkBenchmark) {
			continue
		}
		for i := 2; i+1 < len(words); i += 2 {
			v, err := strconv.ParseFloat(words[i], 64)
			if err != nil {
				return nil, fmt.Errorf("bench: %q in %q", words[i], line)
			}
			metrics[words[i+1]] = v
		}
	}
	var rows []CompareRow
	for i, one := range linkRows {
		perSecond, cpu := metrics[one.name+"-msg/s"], metrics[one.name+"-cpu-ns"]
		if perSecond <= 0 || cpu <= 0 {
			return nil, fmt.Errorf("bench: %s says nothing of %s: %q", linkBenchmark, one.name, text)
		}
		rows = append(rows, CompareRow{
			Load: compareLink, Server: one.server, What: one.what,
			CPU: spreadOf([]float64{cpu}), PerSecond: spreadOf([]float64{perSecond}),
		})
		rows[i].beside(&rows[0])
	}
	return rows, nil
}

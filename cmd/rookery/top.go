package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// newTop is `rookery top`.
func newTop(environ []string) *cobra.Command {
	t := &topView{admins: []string{defaultAdmin}, every: time.Second, timeout: time.Second, environ: environ}
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Watch the nodes of a cluster: clients, calls, latencies, memory, links",
		Long: `Asks the admin listener of a node, and of those that it names, and shows once a second:

  CONNS STREAMS      open connections, and those of them that are open streams
  SESSIONS COPIES    sessions at home there, copies held for other nodes
  RECV/S SENT/S      messages
  CALLS/S P50 P99    handlers run, and the time they took; WAIT99: the time they waited for a worker
  SHED/S             requests refused for want of time or room
  CPU                100% is one processor
  MEMORY MEM/CONN    resident memory, all of it, and divided by connections
  GC/MIN GC99 GCMAX  pauses of the garbage collector in the last minute
  LINKS              links to other processes: connected/wanted
  LAG99 UNACKED      time until copies held a publication, bytes on their way to other nodes
  FILLED             whether every session has its copies

Percentiles are as fine as the buckets of /metrics, so are estimates. A node that does not answer is
"down"; if the cluster knows it, its own word stands below. Where the output is no terminal each node
is a line; NO_COLOR is respected.`,
		Example: "  rookery top --admin 10.0.0.1:7690\n  rookery top --json --once | jq .total",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return t.run(cmd) },
	}
	cmd.Flags().Var(list(&t.admins, "HOST:PORT,...", checkWhole), "admin", "admin addresses of one node or more; they name the others")
	cmd.Flags().Var(interval(&t.every, 100*time.Millisecond), "every", "time between two looks")
	cmd.Flags().Var(interval(&t.timeout, time.Millisecond), "timeout", "patience with a node that does not answer")
	cmd.Flags().BoolVar(&t.once, "once", false, "look twice, print and end")
	cmd.Flags().BoolVar(&t.json, "json", false, "print each look as a line of JSON")
	return cmd
}

const defaultAdmin = "127.0.0.1:7690"

// topView shows looks.
type topView struct {
	admins         []string
	every, timeout time.Duration
	once, json     bool
	environ        []string
}

var errNoAnswer = errors.New("no node answers (is one running? see --admin)")

func (t *topView) run(cmd *cobra.Command) error {
	ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	out := cmd.OutOrStdout()
	w := newWatch(t.admins, t.timeout)
	if t.once {
		return t.runOnce(ctx, w, out)
	}
	show := t.showLines
	if screen, ok := openScreen(out, t.environ); ok && !t.json {
		defer screen.close()
		show = screen.show
		resized := make(chan os.Signal, 1)
		signal.Notify(resized, syscall.SIGWINCH)
		defer signal.Stop(resized)
		return t.loop(ctx, w, resized, out, show)
	}
	return t.loop(ctx, w, nil, out, show)
}

// loop looks until ctx ends. What was found is shown again when the terminal
// has changed its size.
func (t *topView) loop(ctx context.Context, w *watch, resized <-chan os.Signal, out io.Writer, show func(io.Writer, *topPage) error) error {
	tick := time.NewTicker(t.every)
	defer tick.Stop()
	for {
		w.look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		page := w.page()
		if err := show(out, &page); err != nil {
			return err
		}
		for looking := false; !looking; {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
				looking = true
			case <-resized:
				if err := show(out, &page); err != nil {
					return err
				}
			}
		}
	}
}

// runOnce looks twice, because rates need it.
func (t *topView) runOnce(ctx context.Context, w *watch, out io.Writer) error {
	w.look(ctx)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(t.every):
	}
	w.look(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	page := w.page()
	if err := t.showOnce(out, &page); err != nil {
		return err
	}
	for i := range page.Nodes {
		if s := page.Nodes[i].State; s != stateDown && s != stateLeft {
			return nil
		}
	}
	return errNoAnswer
}

func (t *topView) showOnce(out io.Writer, page *topPage) error {
	if t.json {
		return t.showLines(out, page)
	}
	o := printer{width: 80}
	if s, ok := openTerminal(out, t.environ); ok {
		o = s.printer()
	}
	_, err := fmt.Fprintln(out, strings.Join(o.lines(page), "\n"))
	return err
}

// showLines shows a look where nothing can be taken back.
func (t *topView) showLines(out io.Writer, page *topPage) error {
	if !t.json {
		_, err := fmt.Fprintln(out, strings.Join(plainLines(page), "\n"))
		return err
	}
	return json.NewEncoder(out).Encode(page)
}

// variable returns a variable of the environment.
func variable(environ []string, name string) (value string, ok bool) {
	for _, kv := range environ {
		if v, found := strings.CutPrefix(kv, name+"="); found {
			value, ok = v, true
		}
	}
	return value, ok
}

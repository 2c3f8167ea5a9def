package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// clusterPage is what this package reads of GET /cluster.
type clusterPage struct {
	View struct {
		Nodes []struct {
			Name     string `json:"name"`
			State    string `json:"state"`
			Draining bool   `json:"draining"`
		} `json:"nodes"`
	} `json:"view"`
	Processes []struct {
		Filled bool `json:"filled"`
		Homes  int  `json:"homes"`
		Copies int  `json:"copies"`
		Links  []struct {
			Alive     bool `json:"alive"`
			Connected bool `json:"connected"`
		} `json:"links"`
		Stats struct {
			Takeovers   uint64 `json:"takeovers"`
			Fenced      uint64 `json:"fenced"`
			Lapses      uint64 `json:"lapses"`
			NotHeld     uint64 `json:"not_held"`
			Unavailable uint64 `json:"unavailable"`
			Merged      uint64 `json:"merged"`
			Repaired    uint64 `json:"repaired"`
		} `json:"stats"`
	} `json:"processes"`
}

// state returns what the page says of a node, "" if it does not know it.
func (p *clusterPage) state(name string) string {
	for _, n := range p.View.Nodes {
		if n.Name == name {
			return n.State
		}
	}
	return ""
}

// takes reports whether a node may be given sessions.
func (p *clusterPage) takes(name string) bool {
	for _, n := range p.View.Nodes {
		if n.Name == name {
			return serves(n.State) && !n.Draining
		}
	}
	return false
}

// serves reports whether a node in that state may hold sessions.
func serves(state string) bool { return state == "alive" || state == "suspect" }

func (p *clusterPage) serving() (n int) {
	for _, node := range p.View.Nodes {
		if serves(node.State) {
			n++
		}
	}
	return n
}

func (p *clusterPage) homes() (n int) {
	for i := range p.Processes {
		n += p.Processes[i].Homes
	}
	return n
}

func (p *clusterPage) copies() (n int) {
	for i := range p.Processes {
		n += p.Processes[i].Copies
	}
	return n
}

// ready reports whether every process has a link to each other and all copies
// are where they should be.
func (p *clusterPage) ready(peers int) bool {
	for i := range p.Processes {
		up := 0
		for _, l := range p.Processes[i].Links {
			if l.Alive && l.Connected {
				up++
			}
		}
		if !p.Processes[i].Filled || up < peers {
			return false
		}
	}
	return len(p.Processes) > 0
}

// cluster asks a node for its page.
func (a *admin) cluster(ctx context.Context) (*clusterPage, error) {
	body, err := a.get(ctx, "/cluster")
	if err != nil {
		return nil, err
	}
	var p clusterPage
	if err := json.Unmarshal(body, &p); err != nil {
		return nil, fmt.Errorf("bench: /cluster: %w", err)
	}
	return &p, nil
}

const (
	// viewPoll is how often a node is asked while a time is measured: the
	// figure is too long by half of it, on average.
	viewPoll = 10 * time.Millisecond
	// calmPoll is how often while nothing is measured.
	calmPoll = 100 * time.Millisecond
)

// until asks the node every now and then until ok likes its page, and returns
// when that was. A node that does not answer is asked again.
func (n *node) until(ctx context.Context, every time.Duration, ok func(*clusterPage) bool) (time.Time, error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		p, err := n.admin.cluster(ctx)
		if err == nil && ok(p) {
			return time.Now(), nil
		}
		select {
		case <-tick.C:
		case <-n.ended:
			return time.Time{}, fmt.Errorf("bench: node %s ended%s", n.name, n.process.Said())
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("bench: node %s: %w", n.name, errors.Join(context.Cause(ctx), err))
		}
	}
}

// each runs f for some nodes at once and returns the latest time, or the first
// error.
func (c *nodes) each(some []int, f func(n *node) (time.Time, error)) (latest time.Time, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, i := range some {
		wg.Go(func() {
			at, failed := f(c.list[i])
			mu.Lock()
			defer mu.Unlock()
			if at.After(latest) {
				latest = at
			}
			if err == nil {
				err = failed
			}
		})
	}
	wg.Wait()
	return latest, err
}

// agreed waits until the pages of some nodes show so many serving nodes, all
// linked and filled.
func (c *nodes) agreed(ctx context.Context, some []int, serving int) (time.Time, error) {
	return c.each(some, func(n *node) (time.Time, error) {
		return n.until(ctx, calmPoll, func(p *clusterPage) bool {
			return p.serving() == serving && p.ready(serving-1)
		})
	})
}

// pages returns the pages of some nodes.
func (c *nodes) pages(ctx context.Context, some []int) ([]*clusterPage, error) {
	var list []*clusterPage
	for _, i := range some {
		p, err := c.list[i].admin.cluster(ctx)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// homed waits until sessions have homes on some nodes, in all.
func (c *nodes) homed(ctx context.Context, some []int, sessions int, every time.Duration) (time.Time, error) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	homes := 0
	for {
		pages, err := c.pages(ctx, some)
		if err == nil {
			homes = 0
			for _, p := range pages {
				homes += p.homes()
			}
			if homes == sessions {
				return time.Now(), nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("bench: %d of %d sessions have a home: %w", homes, sessions, context.Cause(ctx))
		}
	}
}

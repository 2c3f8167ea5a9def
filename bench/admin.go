package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	"github.com/rookery-server/rookery/bench/wire"
	"github.com/rookery-server/rookery/memprof"
)

const adminTimeout = 30 * time.Second

// admin asks the admin listener of a server about itself.
type admin struct {
	addr netip.AddrPort
	http *http.Client
}

// newAdmin returns an admin that keeps no connection between questions, so
// that it costs the server nothing while it is measured.
func newAdmin(addr netip.AddrPort) *admin {
	return &admin{addr: addr, http: &http.Client{
		Timeout:   adminTimeout,
		Transport: &http.Transport{DisableKeepAlives: true},
	}}
}

// report returns the server's account of its memory.
func (a *admin) report(ctx context.Context) (memprof.Report, error) {
	var r memprof.Report
	body, err := a.get(ctx, "/debug/mem")
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fmt.Errorf("bench: /debug/mem: %w", err)
	}
	if r.Schema != memprof.Schema {
		return r, fmt.Errorf("bench: /debug/mem has schema %d, this program reads %d: use one build for both", r.Schema, memprof.Schema)
	}
	return r, nil
}

// collect makes the server run its garbage collector.
func (a *admin) collect(ctx context.Context) error {
	_, err := a.get(ctx, "/debug/pprof/heap?gc=1")
	return err
}

// reportLive returns the account after a collection: Heap.Live is then what
// is reachable.
func (a *admin) reportLive(ctx context.Context) (memprof.Report, error) {
	if err := a.collect(ctx); err != nil {
		return memprof.Report{}, err
	}
	return a.report(ctx)
}

func (a *admin) get(ctx context.Context, path string) ([]byte, error) {
	url := "http://" + a.addr.String() + path
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	res, err := a.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("bench: GET %s: %w", url, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("bench: GET %s: %s: %s", url, res.Status, wire.Clip(body))
	}
	return body, nil
}

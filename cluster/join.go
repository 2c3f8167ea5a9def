package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
)

const (
	joinAddrsMax = 256      // addresses of one attempt; more are cut off
	joinFileMax  = 64 << 10 // bytes of a file that are read
)

// joinList is where to look for the cluster: entries HOST:PORT, HOST an address
// or a name, and file:PATH for a file with one such entry on each line. Names
// are resolved and files read again with every attempt, so that a name may stand
// for all nodes, and both may change.
type joinList struct {
	entries  []string
	resolver hostResolver
}

// hostResolver is what joinList needs of net.Resolver.
type hostResolver interface {
	LookupHost(ctx context.Context, host string) ([]string, error)
}

// newJoinList checks the entries: a file need not exist yet, nor a name.
func newJoinList(entries []string, r hostResolver) (*joinList, error) {
	j := &joinList{resolver: r}
	for _, e := range entries {
		e = strings.TrimSpace(e)
		if e == "" {
			continue
		}
		if path, ok := strings.CutPrefix(e, "file:"); ok {
			if path == "" {
				return nil, errors.New("cluster: join list: file: without a path")
			}
		} else if err := checkJoinEntry(e); err != nil {
			return nil, fmt.Errorf("cluster: join list: %w", err)
		}
		j.entries = append(j.entries, e)
	}
	return j, nil
}

func checkJoinEntry(e string) error {
	host, port, err := splitAddr(e)
	switch {
	case err != nil:
		return err
	case host == "" || port == 0:
		return fmt.Errorf("%q is not HOST:PORT", e)
	}
	return nil
}

// addrs returns the addresses, IP:PORT, each once, in the order of the entries,
// and what went wrong with entries that gave none.
func (j *joinList) addrs(ctx context.Context) ([]string, error) {
	var all []string
	var errs []error
	for _, e := range j.entries {
		hosts := []string{e}
		if path, ok := strings.CutPrefix(e, "file:"); ok {
			var err error
			if hosts, err = readJoinFile(path); err != nil {
				errs = append(errs, err)
			}
		}
		for _, h := range hosts {
			addrs, err := j.resolve(ctx, h)
			if err != nil {
				errs = append(errs, err)
			}
			all = append(all, addrs...)
		}
	}
	var once []string
	for _, a := range all {
		if len(once) < joinAddrsMax && !slices.Contains(once, a) {
			once = append(once, a)
		}
	}
	return once, errors.Join(errs...)
}

// resolve returns the addresses of one HOST:PORT.
func (j *joinList) resolve(ctx context.Context, e string) ([]string, error) {
	host, port, err := splitAddr(e)
	if err != nil {
		return nil, err
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []string{netip.AddrPortFrom(ip, uint16(port)).String()}, nil
	}
	ips, err := j.resolver.LookupHost(ctx, host)
	if err != nil {
		return nil, err
	}
	addrs := make([]string, len(ips))
	for i, ip := range ips {
		addrs[i] = net.JoinHostPort(ip, strconv.Itoa(port))
	}
	return addrs, nil
}

// readJoinFile returns the entries of a file. Lines that are none are an error
// that does not keep the others from being used.
func readJoinFile(path string) (entries []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, joinFileMax+1))
	if err != nil {
		return nil, err
	}
	var errs []error
	if len(text) > joinFileMax {
		errs = append(errs, fmt.Errorf("%s is longer than %d bytes; the rest is not read", path, joinFileMax))
		text = text[:joinFileMax]
	}
	for i, line := range strings.Split(string(text), "\n") {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := checkJoinEntry(line); err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", path, i+1, err))
			continue
		}
		entries = append(entries, line)
	}
	return entries, errors.Join(errs...)
}

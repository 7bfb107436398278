package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"time"
)

// resolveTimeout is how long DNS may take before what it said last is used
// (RFC 8767 calls it the client response timer).
const resolveTimeout = time.Second

// book is where the addresses of peers stand that are given by name. It asks
// DNS each time and, where that does not answer or leads nowhere, offers the
// address at which the peer was reached last, also across a restart: DNS that
// is gone or wrong costs nothing as long as nobody has moved.
type book struct {
	file   string // "": kept in memory only
	lookup func(ctx context.Context, host string) ([]netip.Addr, error)

	mu   sync.Mutex
	good map[string]string // host -> address at which the peer answered last
}

// newBook reads what an earlier process left. It is a hint: whatever can't be
// read is as good as nothing.
func newBook(file string) *book {
	r := &net.Resolver{PreferGo: true}
	b := &book{file: file, good: map[string]string{}, lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
		return r.LookupNetIP(ctx, "ip", host)
	}}
	text, err := os.ReadFile(file)
	if err != nil {
		return b
	}
	var read map[string]string
	if json.Unmarshal(text, &read) == nil {
		for host, a := range read {
			if _, err := netip.ParseAddr(a); err == nil {
				b.good[host] = a
			}
		}
	}
	return b
}

// addresses are where to dial hostport, in this order: what DNS says now, then
// where it was reached last. An address in place of a name stands for itself.
func (b *book) addresses(ctx context.Context, hostport string) ([]string, error) {
	host, port, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return []string{hostport}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	ips, err := b.lookup(ctx, host)
	var all []string
	for _, ip := range ips {
		all = append(all, net.JoinHostPort(ip.Unmap().String(), port))
	}
	b.mu.Lock()
	last, ok := b.good[host]
	b.mu.Unlock()
	if at := net.JoinHostPort(last, port); ok && !slices.Contains(all, at) {
		all = append(all, at)
	}
	if len(all) == 0 {
		return nil, errors.Join(err, fmt.Errorf("no address of %s is known", host))
	}
	return all, nil
}

// reached notes that a peer answered at an address.
func (b *book) reached(hostport, at string) error {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		return err
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	ip, _, err := net.SplitHostPort(at)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.good[host] == ip {
		return nil
	}
	b.good[host] = ip
	if b.file == "" {
		return nil
	}
	text, err := json.Marshal(b.good)
	if err != nil {
		return err
	}
	// Not synced: after a power loss there may be none, and DNS is asked.
	next := b.file + ".new"
	if err := os.WriteFile(next, text, 0o644); err != nil {
		return err
	}
	return os.Rename(next, b.file)
}

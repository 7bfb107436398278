package loadgen

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	dnsAnswerIn = time.Second            // for one answer
	dnsAtMost   = 100 * time.Millisecond // between two queries
	dnsAgain    = 250 * time.Millisecond // after one that failed
	dnsSize     = 1232                   // of a UDP message, https://www.dnsflagday.net/2020/
)

// DNS is how clients that know no node find the front doors: they ask for the
// addresses of a name, keep an answer for its time to live and no longer, and ask
// again before that when a connection fails. What the answer does not name any more
// is left as soon as it owes nothing. While no answer comes the last one is kept.
type DNS struct {
	Server string // host:port, over UDP, and over TCP what does not fit
	// Names are what the clients of a region (by index) ask for, in order: the
	// next one where a name has no address.
	Names func(region int) []string
	// Told, if it is set, is called when the clients of a region are sent to other
	// nodes than before. It must not wait for anything.
	Told func(region int, nodes []string)
}

// byName makes the clients of a pool find their entries by DNS.
func (p *pool) byName(d *DNS, region int) {
	p.dns, p.region = d, region
	p.askNames = make(chan struct{}, 1)
	for _, en := range p.entries {
		en.unnamed, en.wanted = true, make(chan struct{})
	}
}

// keepNames asks for the names when their time is over, and when a connection fails.
func (p *pool) keepNames(ctx context.Context) {
	for ctx.Err() == nil {
		hosts, ttl, err := p.dns.lookup(ctx, p.region)
		if err == nil {
			p.named(hosts)
		} else {
			ttl = dnsAgain
		}
		t := time.NewTimer(max(ttl, dnsAtMost))
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-p.askNames:
			t.Reset(dnsAtMost)
			select {
			case <-ctx.Done():
			case <-t.C:
			}
		}
		t.Stop()
	}
}

// named puts the entries that an answer names first, in its order, and lets
// nothing go to the others.
func (p *pool) named(hosts []string) {
	rank := func(en *entry) int {
		if i := slices.Index(hosts, en.Host); i >= 0 {
			return i
		}
		return len(hosts)
	}
	p.e.mu.Lock()
	before := p.doors
	p.entries = slices.Clone(p.entries)
	slices.SortStableFunc(p.entries, func(a, b *entry) int { return rank(a) - rank(b) })
	p.doors = nil
	for _, en := range p.entries {
		is := rank(en) < len(hosts)
		if is {
			p.doors = append(p.doors, en)
		}
		switch {
		case is && en.unnamed:
			close(en.wanted)
		case !is && !en.unnamed:
			en.wanted = make(chan struct{})
		}
		en.unnamed = !is
	}
	doors := p.doors
	p.e.mu.Unlock()
	if names := ids(doors); p.dns.Told != nil && !slices.Equal(names, ids(before)) {
		p.dns.Told(p.region, names)
	}
}

func ids(es []*entry) (all []string) {
	for _, en := range es {
		all = append(all, en.NodeID)
	}
	slices.Sort(all)
	return all
}

// await waits until clients may connect to an entry.
func (en *entry) await(ctx context.Context) bool {
	if en.p.dns == nil {
		return ctx.Err() == nil
	}
	for {
		en.p.e.mu.Lock()
		unnamed, wanted := en.unnamed, en.wanted
		en.p.e.mu.Unlock()
		if !unnamed {
			return ctx.Err() == nil
		}
		select {
		case <-ctx.Done():
			return false
		case <-wanted:
		}
	}
}

// gone says that nobody is sent to an entry any more.
func (en *entry) gone() bool {
	if en.p.dns == nil {
		return false
	}
	en.p.e.mu.Lock()
	defer en.p.e.mu.Unlock()
	return en.unnamed
}

// failed asks for names anew: a connection broke, or did not come about.
func (en *entry) failed() {
	if en.p.dns != nil {
		kick(en.p.askNames)
	}
}

// leave hangs up where DNS does not send anybody any more and nothing is owed.
func (p *pool) leave(now time.Duration) {
	if p.dns == nil {
		return
	}
	for _, en := range p.entries {
		if !en.unnamed {
			continue
		}
		for _, ls := range en.links {
			for _, l := range ls {
				if l.rc != nil && l.owed.len() == 0 {
					p.e.drop(l, now)
				}
			}
		}
	}
}

// inTurn is the entries in the order in which they are tried in this tick. The
// clients of a pool take turns with the doors of an answer, as those do who all ask
// for themselves and are answered in turns.
func (p *pool) inTurn() []*entry {
	if p.dns == nil || len(p.doors) < 2 {
		return p.entries
	}
	i := p.tick % len(p.doors)
	return append(append(make([]*entry, 0, len(p.doors)), p.doors[i:]...), p.doors[:i]...)
}

// lookup asks for the addresses of a region's names.
func (d *DNS) lookup(ctx context.Context, region int) (hosts []string, ttl time.Duration, err error) {
	names := d.Names(region)
	for _, name := range names {
		m, err := d.ask(ctx, name)
		if err != nil {
			return nil, 0, err
		}
		ttl := time.Duration(-1)
		for _, rr := range m.Answer {
			if a, ok := rr.(*dns.A); ok {
				hosts = append(hosts, a.A.String())
				if t := time.Duration(a.Hdr.Ttl) * time.Second; ttl < 0 || t < ttl {
					ttl = t
				}
			}
		}
		if len(hosts) > 0 {
			return hosts, ttl, nil
		}
	}
	return nil, 0, fmt.Errorf("DNS server %s: no address for %s", d.Server, strings.Join(names, " or "))
}

func (d *DNS) ask(ctx context.Context, name string) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, dnsAnswerIn)
	defer cancel()
	q := new(dns.Msg)
	q.SetQuestion(dns.Fqdn(name), dns.TypeA)
	q.SetEdns0(dnsSize, false)
	for _, network := range []string{"udp", "tcp"} {
		m, _, err := (&dns.Client{Net: network, Timeout: dnsAnswerIn}).ExchangeContext(ctx, q, d.Server)
		switch {
		case err != nil:
			return nil, fmt.Errorf("DNS server %s: %s: %w", d.Server, name, err)
		case m.Truncated && network == "udp":
			continue
		case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
			return nil, fmt.Errorf("DNS server %s: %s: %s", d.Server, name, dns.RcodeToString[m.Rcode])
		}
		return m, nil
	}
	return nil, errors.New("unreachable")
}

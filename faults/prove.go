package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fivenines/fivenines/fixtures"
)

// ErrUnproved says that a fault did not take hold as it should, or hit more.
var ErrUnproved = errors.New("fault not proved")

// Proof is what canaries over every link and a look at every node showed.
type Proof struct {
	Took   []string      // parts that were hit as they should be
	Spared []string      // parts that were left alone as they should be
	Wrong  []string      // what was expected and not seen, or seen and not expected
	At     time.Duration // when it was clear that the fault had taken hold
}

// Summary is the proof in one line.
func (p Proof) Summary() string {
	s := fmt.Sprintf("%d parts hit, %d spared", len(p.Took), len(p.Spared))
	if len(p.Wrong) > 0 {
		s += "; wrong: " + strings.Join(p.Wrong, "; ")
	}
	return s
}

// balancerIn is how long a load balancer may take to see that nodes are back.
const balancerIn = 3 * time.Second

// answerIn is how long beyond its round trip a link that was spared may take.
const answerIn = time.Second

// Baseline checks that everything works that inForce, the effect of faults
// already there, does not name: without it, silence would prove nothing.
func Baseline(ctx context.Context, d fixtures.Deployment, inForce Effect) error {
	look := examine(ctx, d, Effect{Nodes: inForce.Nodes, Cut: inForce.Cut, Unsure: inForce.Unsure}, true)
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(look.wrong) > 0 {
		return fmt.Errorf("not everything works before the fault: %s", strings.Join(look.wrong, "; "))
	}
	return nil
}

// Prove looks at every node and link after Inject has returned. It returns an
// error that is ErrUnproved if the fault did not take hold within its bound,
// or hit what it should have spared. asked is when the fault was asked for, on
// the clock now.
func Prove(ctx context.Context, d fixtures.Deployment, f Fault, asked time.Duration, now func() time.Duration) (Proof, error) {
	e := f.Effect(d)
	var p Proof
	if e.Momentary {
		ev, ok := f.(interface {
			Evidence() (took, wrong []string, at time.Time, err error)
		})
		if !ok {
			return p, fmt.Errorf("%w: %s is momentary and keeps no evidence", ErrUnproved, f)
		}
		took, wrong, at, err := ev.Evidence()
		if err != nil {
			return p, fmt.Errorf("%w: %s: %w", ErrUnproved, f, err)
		}
		p = Proof{Took: took, Wrong: wrong, At: now() - time.Since(at)}
		p.checkNodes(d, e)
	} else {
		start := now()
		look := examine(ctx, d, e, false)
		if err := ctx.Err(); err != nil {
			return p, err
		}
		p = Proof{Took: look.took, Spared: look.spared, Wrong: look.wrong, At: start + look.tookIn}
		if c, ok := f.(Confirmer); ok {
			began := now()
			within, cancel := context.WithTimeout(ctx, max(0, e.Bound-(began-asked)))
			took, wrong := c.Confirm(within, d)
			cancel()
			p.Took, p.Wrong = append(p.Took, took...), append(p.Wrong, wrong...)
			p.At = max(p.At, now())
		}
	}
	if late := p.At - asked; late > e.Bound {
		p.Wrong = append(p.Wrong, fmt.Sprintf("it took %v to take hold, the bound is %v", late.Round(time.Millisecond), e.Bound))
	}
	if len(p.Wrong) > 0 {
		return p, fmt.Errorf("%w: %s: %s", ErrUnproved, f, strings.Join(p.Wrong, "; "))
	}
	return p, nil
}

// checkNodes adds what the states of the nodes show.
func (p *Proof) checkNodes(d fixtures.Deployment, e Effect) {
	var l look
	l.nodes(d, e)
	p.Took, p.Spared, p.Wrong = append(p.Took, l.took...), append(p.Spared, l.spared...), append(p.Wrong, l.wrong...)
}

// look is what was seen of a deployment.
type look struct {
	mu                  sync.Mutex
	took, spared, wrong []string
	tookIn              time.Duration // until the last of took was seen
}

// examine sends a canary over every link and looks at every node, before and
// after. In a baseline nothing is expected of what the effect names.
func examine(ctx context.Context, d fixtures.Deployment, e Effect, baseline bool) *look {
	e = e.withEntries(d)
	start := time.Now()
	first, l := new(look), new(look)
	if !baseline {
		first.nodes(d, e)
		l.tookIn = time.Since(start)
	}
	var wg sync.WaitGroup
	room := make(chan struct{}, 512)
	for _, link := range d.Links() {
		cut := e.Cut[link.ID()]
		if baseline && cut || e.Unsure[link.ID()] && !cut {
			continue
		}
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			l.link(ctx, d, e, link, cut, start)
		})
	}
	wg.Wait()
	if baseline {
		nodes := look{}
		nodes.nodes(d, e)
		l.wrong = append(l.wrong, nodes.wrong...)
		return l
	}
	// A node that is in the right state before and after was in it all along,
	// or was started for it, which its deployment does not do by itself.
	l.nodes(d, e)
	for _, w := range first.wrong {
		if !slices.Contains(l.wrong, w) {
			l.wrong = append(l.wrong, w)
		}
	}
	slices.Sort(l.took)
	slices.Sort(l.spared)
	slices.Sort(l.wrong)
	return l
}

// nodes looks at the state of every node.
func (l *look) nodes(d fixtures.Deployment, e Effect) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, n := range d.Nodes() {
		want, hit := e.Nodes[n.ID]
		if !hit {
			want = fixtures.Running
		}
		got, err := d.State(n.ID)
		switch {
		case err != nil:
			l.wrong = append(l.wrong, fmt.Sprintf("%s: state unknown: %v", n.ID, err))
		case !hit && e.Unsure[n.ID] && got != fixtures.Paused:
		case got != want:
			l.wrong = append(l.wrong, fmt.Sprintf("%s is %s, should be %s", n.ID, got, want))
		case hit && want != fixtures.Running:
			l.took = append(l.took, n.ID+" "+string(got))
		default:
			l.spared = append(l.spared, n.ID)
		}
	}
}

// link sends one canary.
func (l *look) link(ctx context.Context, d fixtures.Deployment, e Effect, link fixtures.Link, cut bool, start time.Time) {
	limit := link.RTT + answerIn
	if cut {
		limit = link.RTT + silence
	}
	if link.Kind == fixtures.EntryLink && !cut {
		limit += balancerIn
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := d.Canary(ctx, link)
	for err != nil && ctx.Err() == nil && link.Kind == fixtures.EntryLink && !cut {
		select {
		case <-time.After(50 * time.Millisecond):
			err = d.Canary(ctx, link)
		case <-ctx.Done():
		}
	}
	took := time.Since(start)
	silent := err != nil && (ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded))

	l.mu.Lock()
	defer l.mu.Unlock()
	switch id := link.ID(); {
	case cut && err == nil:
		l.wrong = append(l.wrong, id+" answers, should be cut")
	case cut && e.Silent && !silent:
		l.wrong = append(l.wrong, fmt.Sprintf("%s should be silent: %v", id, err))
	case cut && silent:
		l.took = append(l.took, id+" silent")
		l.tookIn = max(l.tookIn, took)
	case cut:
		l.took = append(l.took, id+" dead")
		l.tookIn = max(l.tookIn, took)
	case err != nil:
		l.wrong = append(l.wrong, fmt.Sprintf("%s should answer: %v", id, err))
	default:
		l.spared = append(l.spared, id)
	}
}

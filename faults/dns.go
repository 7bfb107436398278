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

func init() {
	where := ParamInfo{Name: "where", Default: "all", Help: "all, " + helpVictims}
	kinds := []struct {
		mode    fixtures.NameMode
		summary string
		params  []ParamInfo
	}{
		{fixtures.NamesGone, "DNS does not answer a node, a region or all nodes; connections that stand are left alone.", []ParamInfo{where}},
		{fixtures.NamesSlow, "DNS answers a node, a region or all nodes late; connections that stand are left alone.", []ParamInfo{where, {Name: "delay", Default: "2s", Help: "of every answer, 10ms to 3s"}}},
		{fixtures.NamesWrong, "DNS tells a node, a region or all nodes an address that nobody has; connections that stand are left alone.", []ParamInfo{where}},
	}
	for _, k := range kinds {
		catalogue(KindInfo{Kind: "dns-" + string(k.mode), Summary: k.summary, Params: k.params}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
			return newNames(s, topo, k.mode)
		})
	}
}

// misnaming is any of them.
type misnaming struct {
	Spec
	nodes, parts []string
	fault        fixtures.NameFault
}

func newNames(s Spec, topo *fixtures.Topology, mode fixtures.NameMode) (Fault, error) {
	f := &misnaming{Spec: s, fault: fixtures.NameFault{Mode: mode}}
	if s.Params["where"] == "all" {
		f.nodes = allNodes(topo)
		for _, r := range topo.Regions {
			f.parts = append(f.parts, r.Name)
		}
		f.parts = append(f.parts, f.nodes...)
	} else if err := f.choose(topo); err != nil {
		return nil, err
	}
	if mode == fixtures.NamesSlow {
		var err error
		// The engine's resolver gives up after 4 s, and no answer is another fault.
		if f.fault.Delay, err = span(s, "delay", 10*time.Millisecond, 3*time.Second); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *misnaming) choose(topo *fixtures.Topology) (err error) {
	f.nodes, f.parts, f.Params["where"], err = chooseNodes(topo, f.Params["where"])
	return err
}

func (f *misnaming) Kind() string { return f.Spec.Kind }

func (f *misnaming) Available(d fixtures.Deployment) error {
	n, ok := d.(fixtures.Names)
	if !ok {
		return fmt.Errorf("%w: its nodes do not find each other by DNS; in --backend container they do", fixtures.ErrNotHere)
	}
	if err := known(d, f.nodes); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), answerIn)
	defer cancel()
	if right, err := n.Lookup(ctx, f.nodes[0]); err != nil || !right {
		return fmt.Errorf("%w: names are not answered as they should be: right=%v: %w", fixtures.ErrNotHere, right, orNil(err))
	}
	return nil
}

func orNil(err error) error {
	if err == nil {
		return errors.New("another address")
	}
	return err
}

func (f *misnaming) Parts(fixtures.Deployment) []string { return f.parts }

// Effect: nothing else is hit, not even for a moment.
func (f *misnaming) Effect(fixtures.Deployment) Effect {
	return Effect{
		Nodes: map[string]fixtures.NodeState{}, Cut: map[string]bool{},
		Bound: f.fault.Delay + noAnswerIn + answerIn + slack,
	}
}

func (f *misnaming) Inject(ctx context.Context, d fixtures.Deployment) error {
	return f.set(ctx, d, f.fault)
}

func (f *misnaming) Heal(ctx context.Context, d fixtures.Deployment) error {
	return f.set(ctx, d, fixtures.NameFault{})
}

func (f *misnaming) set(ctx context.Context, d fixtures.Deployment, fault fixtures.NameFault) error {
	n, ok := d.(fixtures.Names)
	if !ok {
		return fixtures.ErrNotHere
	}
	return n.Misname(ctx, fault, f.nodes...)
}

// noAnswerIn is after how long without an answer there is none: those who are
// spared get it within milliseconds.
const noAnswerIn = 500 * time.Millisecond

// Confirm asks on behalf of every node: those that are hit must show it, and
// all others be told right.
func (f *misnaming) Confirm(ctx context.Context, d fixtures.Deployment) (took, wrong []string) {
	n, ok := d.(fixtures.Names)
	if !ok {
		return nil, []string{fixtures.ErrNotHere.Error()}
	}
	hit := map[string]bool{}
	for _, id := range f.nodes {
		hit[id] = true
	}
	var mu sync.Mutex
	_ = each(allNodes(d.Topology()), func(id string) error {
		if s, err := d.State(id); err != nil || s != fixtures.Running {
			return nil // it asks nobody
		}
		say, fine := f.look(ctx, n, id, hit[id])
		mu.Lock()
		defer mu.Unlock()
		say = id + ": " + strings.ReplaceAll(say, "\n", "; ")
		switch {
		case !fine:
			wrong = append(wrong, say)
		case hit[id]:
			took = append(took, say)
		}
		return nil
	})
	slices.Sort(took)
	slices.Sort(wrong)
	return took, wrong
}

// look says what a node gets that is hit or spared, and whether it is what it
// should be.
func (f *misnaming) look(ctx context.Context, n fixtures.Names, id string, hit bool) (string, bool) {
	limit := answerIn
	if hit {
		limit = f.fault.Delay + noAnswerIn
	}
	within, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	began := time.Now()
	right, err := n.Lookup(within, id)
	took := time.Since(began)
	none := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
	switch {
	case !hit && err == nil && right:
		return "told right", true
	case !hit:
		return fmt.Sprintf("should be told right: right=%v after %v, %v", right, took.Round(time.Millisecond), err), false
	case f.fault.Mode == fixtures.NamesGone && none:
		return fmt.Sprintf("no answer in %v", noAnswerIn), true
	case f.fault.Mode == fixtures.NamesSlow && err == nil && right && took >= f.fault.Delay:
		return fmt.Sprintf("told right after %v", took.Round(time.Millisecond)), true
	case f.fault.Mode == fixtures.NamesWrong && err == nil && !right:
		return "told wrong", true
	}
	return fmt.Sprintf("DNS should be %s: right=%v after %v, %v", f.fault.Mode, right, took.Round(time.Millisecond), err), false
}

package faults

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/fivenines/fivenines/fixtures"
)

func init() {
	catalogue(KindInfo{
		Kind:    "path-degrade",
		Summary: "One of the paths between regions becomes slow, jittery or lossy in both directions; the other paths stay as they are.",
		Params: append(pathParams(),
			ParamInfo{Name: "latency", Default: "250ms", Help: "added to the round trip"},
			ParamInfo{Name: "jitter", Default: "0s", Help: "up to so much more on the round trip, drawn every 5 ms"},
			ParamInfo{Name: "loss", Default: "0", Help: "share of what is sent that comes late by a retransmission: a number from 0 to 1"}),
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		v, err := choosePath(s, topo)
		if err != nil {
			return nil, err
		}
		f := &pathDegrade{Spec: s, pathVictims: v}
		for name, to := range map[string]*time.Duration{"latency": &f.how.Latency, "jitter": &f.how.Jitter} {
			if *to, err = time.ParseDuration(s.Params[name]); err != nil || *to < 0 || *to > time.Minute {
				return nil, fmt.Errorf("%s=%s is not a duration from 0s to 1m", name, s.Params[name])
			}
		}
		if f.how.Loss, err = strconv.ParseFloat(s.Params["loss"], 64); err != nil || !(f.how.Loss >= 0 && f.how.Loss <= 1) {
			return nil, fmt.Errorf("loss=%s is not a number from 0 to 1", s.Params["loss"])
		}
		if f.how == (fixtures.Degradation{}) {
			return nil, fmt.Errorf("latency, jitter and loss are all 0: that is no fault")
		}
		return f, nil
	})
}

type pathDegrade struct {
	Spec
	pathVictims
	how fixtures.Degradation
}

func (f *pathDegrade) Kind() string                       { return f.Spec.Kind }
func (f *pathDegrade) Parts(fixtures.Deployment) []string { return f.parts() }

func (f *pathDegrade) Available(d fixtures.Deployment) error {
	if _, ok := d.(fixtures.Degrader); !ok {
		return fmt.Errorf("%w: this backend cannot make a link slow", fixtures.ErrNotHere)
	}
	return f.available(d)
}

// Effect expects nothing of the links: how bad they are is seen by Confirm.
func (f *pathDegrade) Effect(d fixtures.Deployment) Effect {
	ls := f.links(d)
	return Effect{Nodes: map[string]fixtures.NodeState{}, Unsure: linkIDs(ls), Bound: 4*(longestRTT(ls)+f.how.Latency+f.how.Jitter) + 3*time.Second}
}

func (f *pathDegrade) Inject(ctx context.Context, d fixtures.Deployment) error {
	return d.(fixtures.Degrader).Degrade(ctx, f.how, f.links(d)...)
}

func (f *pathDegrade) Heal(ctx context.Context, d fixtures.Deployment) error {
	return d.(fixtures.Degrader).Degrade(ctx, fixtures.Degradation{}, f.links(d)...)
}

// Confirm times canaries. Every link must take as much longer as was asked;
// of jitter and loss, which are drawn, some must show a part in some rounds.
func (f *pathDegrade) Confirm(ctx context.Context, d fixtures.Deployment) (took, wrong []string) {
	links := f.links(d)
	excess := make([]time.Duration, len(links)) // the most beyond the round trip and the latency
	answers := make([]int, len(links))
	drawn := f.how.Jitter > 0 || f.how.Loss > 0
	enough := func() bool {
		if !drawn {
			return slices.Min(answers) > 0
		}
		most := slices.Max(excess)
		return (f.how.Jitter == 0 || most >= f.how.Jitter/4) && (f.how.Loss == 0 || most >= 150*time.Millisecond)
	}
	quick := map[string]time.Duration{}
	var mu sync.Mutex
	for ctx.Err() == nil {
		var wg sync.WaitGroup
		for i, l := range links {
			wg.Go(func() {
				began := time.Now()
				if d.Canary(ctx, l) != nil {
					return
				}
				rtt := time.Since(began)
				mu.Lock()
				defer mu.Unlock()
				answers[i]++
				excess[i] = max(excess[i], rtt-l.RTT-f.how.Latency)
				if rtt < l.RTT+f.how.Latency-5*time.Millisecond {
					quick[l.ID()] = rtt
				}
			})
		}
		wg.Wait()
		if enough() {
			break
		}
	}
	for id, rtt := range quick {
		wrong = append(wrong, fmt.Sprintf("%s answers after %v, should take %v more than its round trip", id, rtt.Round(time.Millisecond), f.how.Latency))
	}
	for i, l := range links {
		if answers[i] == 0 {
			wrong = append(wrong, l.ID()+" does not answer, should be slow")
		} else if quick[l.ID()] == 0 {
			took = append(took, l.ID()+" degraded")
		}
	}
	if len(wrong) == 0 && !enough() {
		wrong = append(wrong, fmt.Sprintf("no link shows the jitter or the loss: %v beyond the latency at most", slices.Max(excess).Round(time.Millisecond)))
	}
	if len(wrong) > 0 {
		took = nil
	}
	slices.Sort(wrong)
	return took, wrong
}

package slo

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/slo/checker"
)

// fault is one fault of a trial, from its events.
type fault struct {
	kind, text string
	parts      []string
	isolated   string // region that it cuts off from its peers
	comesBack  string // node that must serve again by itself; empty: none
	asked      time.Duration
	proved     *time.Duration
	undone     *time.Duration
	unproved   string // why it was not proved
	evidence   string

	failover, undo *Outage
	restart        *Comeback
	notReady       string // what the node that must come back lacked when it was last seen not to serve
	phases         *Phases
	detected       *time.Duration // instant
	detectedBy     string
	recovered      *time.Duration // instant of the steady state; nil: not in the load
	recoveredBy    time.Duration  // if not: at the earliest here
	rpo            *Value
	minority       *Acknowledged
}

func (f *fault) record(epoch time.Time) FaultRecord {
	r := FaultRecord{
		Kind: f.kind, Text: f.text, AskedS: sec(f.asked), Evidence: f.evidence,
		Asked:    stamp(epoch, &f.asked),
		Proved:   stamp(epoch, f.proved),
		Undone:   stamp(epoch, f.undone),
		Failover: f.failover, Undo: f.undo, Phases: f.phases, Restart: f.restart,
		DetectedBy: f.detectedBy, RPO: f.rpo, MinorityWrites: f.minority,
	}
	if f.proved != nil {
		r.ProvedS = value(sec(*f.proved))
	}
	if f.undone != nil {
		r.UndoneS = value(sec(*f.undone))
	}
	if f.detected != nil {
		r.TimeToDetect = value(sec(*f.detected - f.asked))
	}
	if f.recovered != nil {
		r.RTO = value(sec(*f.recovered - f.asked))
	}
	return r
}

func stamp(epoch time.Time, at *time.Duration) string {
	if at == nil {
		return ""
	}
	return epoch.Add(*at).UTC().Format(time.RFC3339Nano)
}

// instant is when something was taken away or given back.
type instant struct {
	at    time.Duration
	fault int
	undo  bool
}

// readBack is a read-back phase over all its regions.
type readBack struct {
	checker.Phase
	regions []string
	failed  []string // regions in which it ended early, with why
}

type steadyEvent struct {
	holds bool
	why   string
}

// readEvents takes from the events what the measures need.
func (t *trial) readEvents() {
	for _, e := range t.events {
		switch e.Kind {
		case history.LoadStarted:
			t.endLoad(e.At)
			t.loads = append(t.loads, span{e.At, -1})
		case history.LoadStopped:
			t.endLoad(e.At)
		case history.FaultAsked:
			kind := e.Fields["kind"]
			if kind == "" {
				kind, _, _ = strings.Cut(e.Subject, "(")
			}
			t.faults = append(t.faults, &fault{kind: kind, text: e.Subject, parts: e.Parts, isolated: e.Fields["isolated_region"], comesBack: e.Fields["comes_back"], asked: e.At})
		case history.FaultProved:
			if f := t.openFault(e.Subject, func(f *fault) bool { return f.proved == nil }); f != nil {
				f.proved, f.evidence = &e.At, proof(e)
			}
		case history.FaultUnproved:
			if f := t.openFault(e.Subject, func(f *fault) bool { return f.proved == nil && f.unproved == "" }); f != nil {
				f.unproved = orElse(e.Detail, "it was not seen to take hold")
			}
		case history.FaultUndone:
			if f := t.openFault(e.Subject, func(f *fault) bool { return f.undone == nil }); f != nil {
				f.undone = &e.At
			}
		case history.ReadBackStart, history.ReadBackEnd:
			t.readBackEvent(e)
		case history.SteadyState:
			if e.Fields["phase"] == "before" {
				t.steady = &steadyEvent{e.Fields["holds"] == "true", e.Detail}
			}
		case history.TrialVoid:
			t.void = orElse(e.Detail, "no fault was injected")
		case history.GeneratorCPU:
			if v, err := strconv.ParseFloat(e.Fields["cpu_s"], 64); err == nil {
				t.cpu += v
			}
			if v, err := strconv.ParseFloat(e.Fields["lag_p999_ms"], 64); err == nil && (t.lag == nil || v > *t.lag) {
				t.lag = &v
			}
		}
	}
	t.endLoad(1<<63 - 1)
	var last time.Duration
	for _, e := range t.events {
		last = max(last, e.At)
	}
	for i := range t.phases {
		if t.phases[i].To < t.phases[i].From {
			t.phases[i].To = max(last, t.phases[i].From) // it never ended
		}
	}
	slices.SortStableFunc(t.faults, func(a, b *fault) int { return cmp.Compare(a.asked, b.asked) })
	for i, f := range t.faults {
		t.instants = append(t.instants, instant{at: f.asked, fault: i})
		if f.undone != nil {
			t.instants = append(t.instants, instant{at: *f.undone, fault: i, undo: true})
		}
	}
	slices.SortStableFunc(t.instants, func(a, b instant) int { return cmp.Compare(a.at, b.at) })
}

// proof is what was seen of a fault, for the reader.
func proof(e history.Event) string {
	var s []string
	for _, k := range []string{"took", "spared"} {
		if v := e.Fields[k]; v != "" {
			s = append(s, k+": "+v)
		}
	}
	if len(s) == 0 {
		return e.Detail
	}
	return strings.Join(s, "; ")
}

func (t *trial) endLoad(at time.Duration) {
	if n := len(t.loads); n > 0 && t.loads[n-1].to < 0 {
		t.loads[n-1].to = at
	}
}

// openFault is the first fault of that text that still wants the event.
func (t *trial) openFault(text string, open func(*fault) bool) *fault {
	for _, f := range t.faults {
		if f.text == text && open(f) {
			return f
		}
	}
	return nil
}

func (t *trial) readBackEvent(e history.Event) {
	phase, region := e.Fields["phase"], e.Fields["region"]
	var p *readBack
	if n := len(t.phases); n > 0 && t.phases[n-1].Name == phase {
		p = &t.phases[n-1]
	} else if e.Kind == history.ReadBackEnd {
		return
	} else {
		t.phases = append(t.phases, readBack{Phase: checker.Phase{Name: phase, From: e.At, To: -1}})
		p = &t.phases[len(t.phases)-1]
	}
	if e.Kind == history.ReadBackStart {
		p.regions = append(p.regions, region)
		p.To = -1
		return
	}
	p.To = e.At
	if e.Detail != "" {
		p.failed = append(p.failed, region+": "+e.Detail)
	}
}

// platformEvent says whether the platform reported it, not the harness.
func platformEvent(e *history.Event) bool { return e.Source != "harness" && e.Source != "" }

func intersects(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

package node

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/fivenines/fivenines/reference/internal/admission"
	"github.com/fivenines/fivenines/reference/internal/failover"
	"github.com/fivenines/fivenines/reference/internal/gateway"
)

// lookEvery is how often the guard looks at what the node uses.
const lookEvery = 250 * time.Millisecond

// Events of the guard.
const (
	eventShedding      = "shedding"
	eventSheddingEnded = "shedding-ended"
	eventBreakerOpen   = "breaker-open"
	eventBreakerClosed = "breaker-closed"
)

// guard keeps the node from taking on more than it can carry, see package
// admission. Connections ask its controller; the rest belongs to the loop. The
// zero value takes everything.
type guard struct {
	n        *Node
	ctl      *admission.Controller
	limiter  *admission.Limiter
	shedder  *admission.Shedder
	breakers *admission.Breakers
	use      usage // over its own interval: the reports' is longer
	looked   time.Duration
	crowd    crowd
	broken   map[int]bool // peers whose breaker opened and has not closed since
	mutant   bool
	delay    atomic.Int64 // of the limiter, for the metrics
}

// crowd is what was refused for what is in flight.
type crowd struct {
	refused [admission.Critical + 1]uint64
	last    time.Duration // when something was; 0: nothing is told of
	highest admission.Priority
	ops     uint64
}

// init needs the manager's configuration, the server and the metrics.
func (g *guard) init(n *Node) {
	cfg := n.cfg.Admission.Filled()
	fo := n.manager.fo.Config()
	g.n = n
	g.mutant = n.cfg.Mutant == "no-shedding"
	g.ctl = admission.NewController(cfg, n.cfg.Shards, g.mutant)
	g.limiter = admission.NewLimiter(cfg)
	g.shedder = admission.NewShedder(cfg, fo.CPU, fo.Memory)
	g.breakers = admission.NewBreakers(cfg, len(n.m.Nodes), g.broke)
	g.broken = map[int]bool{}
	g.use.init()
	n.server.Admission = g.ctl
	n.metrics.reg.MustRegister(guardCollector{g})
}

// turn is told of every turn of the loop that takes requests, and since when the
// first of them waits.
func (g *guard) turn(now, since time.Duration) {
	if g.ctl == nil {
		return
	}
	g.limiter.Turn(now, now-since, g.ctl.InFlight())
	g.ctl.SetLimit(g.limiter.Limit())
	g.delay.Store(int64(g.limiter.Delay()))
}

// tick looks at what the node uses, and at what it refused.
func (g *guard) tick(now time.Duration) {
	if g.ctl == nil || now-g.looked < lookEvery {
		return
	}
	g.looked = now
	cpu, memory := g.use.sample(now)
	if why, changed := g.shedder.Look(now, cpu, memory); changed && !g.mutant {
		level := g.shedder.Level()
		g.ctl.SetLevel(level)
		if level == admission.Nothing {
			g.emit(eventSheddingEnded, "usage", level.String(), "it takes every operation again: "+why)
		} else {
			g.emit(eventShedding, "usage", level.String(), fmt.Sprintf("it refuses operations of up to %s priority: %s", level, why))
		}
	}
	g.see(now)
}

// see tells when something is refused for what is in flight, again when a higher
// priority is, and when nothing was for as long as shedding goes on at least.
func (g *guard) see(now time.Duration) {
	c := &g.crowd
	for p := range admission.Critical + 1 {
		total := g.ctl.Refused(p, admission.Full) + g.ctl.Refused(p, admission.ShardFull)
		refused := total - c.refused[p]
		if refused == 0 {
			continue
		}
		c.refused[p] = total
		c.ops += refused
		if c.last == 0 || p > c.highest {
			c.highest = p
			g.emit(eventShedding, "in-flight", p.String(), fmt.Sprintf("it refuses operations of up to %s priority: %d are in flight, of %d", p, g.ctl.InFlight(), g.ctl.Limit()))
		}
		c.last = now
	}
	if c.last != 0 && now-c.last >= time.Duration(g.n.cfg.Admission.Filled().ShedFor) {
		g.emit(eventSheddingEnded, "in-flight", admission.Nothing.String(), fmt.Sprintf("it takes every operation again: %d were refused", c.ops))
		c.last, c.highest, c.ops = 0, admission.Low, 0
	}
}

// emit sends an event of priority P2 about this node; level is the highest
// priority that is refused.
func (g *guard) emit(kind, reason, level, detail string) {
	g.n.events.emit(kind, []string{g.n.cfg.ID}, g.n.cfg.ID+": "+detail,
		map[string]string{"level": level, "reason": reason, "priority": failover.P2.String(), "severity": failover.P2.Severity()})
}

// broke is told of every change of a breaker.
func (g *guard) broke(peer int, to admission.State) {
	id := g.n.m.Nodes[peer].ID
	switch {
	case to == admission.Open && !g.broken[peer]:
		g.broken[peer] = true
		g.n.events.emit(eventBreakerOpen, []string{id}, fmt.Sprintf("%s is sent no requests: most of a second's had no answer in their time", id), nil)
	case to == admission.Closed:
		delete(g.broken, peer)
		g.n.events.emit(eventBreakerClosed, []string{id}, id+" is sent requests again", nil)
	}
}

// arrived says whether a request that another node forwarded is taken.
func (g *guard) arrived(r *gateway.Request) bool {
	why := g.ctl.Admit(r.Priority, 1, func(int) int { return r.Shard })
	if why == admission.Taken {
		r.Admitted = g.ctl != nil
		return true
	}
	r.Overloaded = true
	r.Fail(gateway.NotApplied, why.Text())
	return false
}

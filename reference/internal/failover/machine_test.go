package failover

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/stretchr/testify/require"
)

// world drives one machine: eight nodes in three regions as in the default
// topology, of which us-2 watches unless said otherwise.
type world struct {
	m                *Machine
	topo             Topology
	now              time.Duration
	lost             map[int]time.Duration // really gone, since
	unheard          map[int]bool          // gone only for this machine
	load             map[int]float64
	behind           map[int]bool
	late             map[int]time.Duration
	jitter           time.Duration
	primary          string
	epoch            uint64
	leaders          []int
	promote          *Promote
	applied          time.Duration
	promotions, told int
	homes            []int       // none: the primary region leads alone
	stand            map[int]int // of the meta group
	wants            *Homes
	asleep           bool
}

const step = 50 * time.Millisecond

func newWorld(self int, cfg Config) *world {
	topo := Topology{Regions: []Region{{Name: "us"}, {Name: "eu"}, {Name: "ap", Tertiary: true}}, Self: self}
	for r, n := range []int{3, 3, 2} {
		for i := range n {
			topo.Nodes = append(topo.Nodes, Node{ID: fmt.Sprintf("%s-%d", topo.Regions[r].Name, i+1), Region: r})
		}
	}
	w := &world{topo: topo, now: time.Hour, lost: map[int]time.Duration{}, unheard: map[int]bool{}, load: map[int]float64{}, behind: map[int]bool{}, late: map[int]time.Duration{},
		primary: "us", epoch: 1, leaders: []int{0, 1, 2, 0}}
	w.m = New(cfg, topo, w.now)
	w.m.SetAuthority(true)
	return w
}

func (w *world) nodes(names []datadriven.CmdArg) (out []int) {
	for _, a := range names {
		for i, n := range w.topo.Nodes {
			if n.ID == a.Key || w.topo.Regions[n.Region].Name == a.Key {
				out = append(out, i)
			}
		}
	}
	return out
}

// run lets time pass: all that are there ping every 200 ms and report every
// second, and a role change is committed 100 ms after it was asked for.
func (w *world) run(d time.Duration, quiet bool) string {
	var b strings.Builder
	began := w.now
	for range int(d / step) {
		w.now += step
		if w.asleep {
			continue
		}
		k := int(w.now / step)
		for i := range w.topo.Nodes {
			if _, gone := w.lost[i]; gone && i != w.topo.Self || w.unheard[i] {
				continue
			}
			if i == w.topo.Self {
				w.report(i, k)
				continue
			}
			if k%4 == i%4 {
				every := 200 * time.Millisecond
				at := w.now
				if w.jitter > 0 && (k/4)%2 == 0 {
					at -= w.jitter
				}
				w.m.Heartbeat(i, at, every+w.jitter*time.Duration(1-2*((k/4)%2)))
			}
			w.report(i, k)
			if late, ok := w.late[i]; ok {
				w.m.Delay(w.now, i, late)
			}
		}
		if w.wants != nil && w.now >= w.applied {
			if w.wants.Epoch == w.epoch {
				w.stand = w.wants.Stand
				if w.promotions++; w.promote == nil {
					w.epoch++ // else it is one command
				}
				if !quiet {
					fmt.Fprintf(&b, "%v HOMES %s: %s\n", w.now-began, w.standing(), w.wants.Reason)
				}
			}
			w.wants = nil
		}
		if w.promote != nil && w.now >= w.applied {
			if w.promote.Epoch == w.epoch {
				w.epoch++
				w.primary = w.topo.Regions[w.promote.Region].Name
				w.promotions++
				if !quiet {
					fmt.Fprintf(&b, "%v PRIMARY %s: %s\n", w.now-began, w.primary, w.promote.Reason)
				}
			}
			w.promote = nil
		}
		w.m.SetRoles(w.now, w.primary, w.epoch)
		w.m.SetHomes(w.homes, w.stand)
		w.m.Shards(w.leaders)
		out := w.m.Tick(w.now)
		for _, e := range out.Events {
			if !quiet {
				fmt.Fprintf(&b, "%v %v\n", w.now-began, e)
			}
		}
		w.told += len(out.Events)
		if (out.Promote != nil || out.Homes != nil) && w.promote == nil && w.wants == nil {
			w.promote, w.wants, w.applied = out.Promote, out.Homes, w.now+100*time.Millisecond
		}
	}
	return b.String()
}

// standing is who stands in for whom.
func (w *world) standing() string {
	var all []string
	for _, h := range slices.Sorted(maps.Keys(w.stand)) {
		all = append(all, w.topo.Regions[h].Name+" in "+w.topo.Regions[w.stand[h]].Name)
	}
	if len(all) == 0 {
		return "are where they began"
	}
	return strings.Join(all, ", ")
}

func (w *world) report(i, k int) {
	r := Report{CPU: w.load[i], Memory: 10}
	for j, since := range w.lost {
		if w.now-since > time.Second {
			r.Down = append(r.Down, j)
		}
	}
	for j := range w.behind {
		r.Behind = append(r.Behind, j)
	}
	slices.Sort(r.Down)
	for s, l := range w.leaders {
		if l == i {
			r.Led++
			r.Sessions += 100 + s
		}
	}
	if k%20 == 0 || !slices.Equal(r.Down, w.m.nodes[i].report.Down) {
		w.m.Report(w.now, i, r)
	}
}

// TestScripts runs testdata/*.txt. Commands:
//
//	world [self=NODE] [NAME=VALUE...] [mutant=no-hysteresis]
//	homes REGION...  these are home of shards
//	standby          ap may take over by itself
//	run D            time passes; prints what was decided
//	lose P... | back P...        nodes or regions, really
//	deaf P... | hears P...       only this machine does not hear them
//	lead NODE...     who serves the four shards; - for nobody
//	cpu NODE percent | late NODE D | behind P... | caught-up P...
//	sleep D          this process does not run
//	authority yes|no
//	flap P down=D up=D times=N   prints how often the primary changed
//	phi NODE D       phi of a silence of D
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var w *world
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out := command(t, &w, d)
			if out == "" {
				return "ok\n"
			}
			return out
		})
	})
}

func command(t *testing.T, wp **world, d *datadriven.TestData) string {
	w := *wp
	arg := func(i int) string { return d.CmdArgs[i].Key }
	dur := func(s string) time.Duration {
		v, err := time.ParseDuration(s)
		require.NoError(t, err, d.Pos)
		return v
	}
	switch d.Cmd {
	case "world":
		cfg, self := Config{}, 1
		for _, a := range d.CmdArgs {
			switch {
			case a.Key == "self":
				self = slices.IndexFunc(newWorld(0, Config{}).topo.Nodes, func(n Node) bool { return n.ID == a.Vals[0] })
			case a.Key == "mutant":
				cfg.NoHysteresis = true
			default:
				require.NoError(t, cfg.Set(a.Key, a.Vals[0]), d.Pos)
			}
		}
		*wp = newWorld(self, cfg)
	case "homes":
		for _, a := range d.CmdArgs {
			w.homes = append(w.homes, slices.IndexFunc(w.topo.Regions, func(r Region) bool { return r.Name == a.Key }))
		}
	case "standby": // ap is a standby like any other
		w.topo.Regions[2].Tertiary = false
	case "run":
		return w.run(dur(arg(0)), false)
	case "lose":
		for _, i := range w.nodes(d.CmdArgs) {
			w.lost[i] = w.now
		}
	case "back":
		for _, i := range w.nodes(d.CmdArgs) {
			delete(w.lost, i)
		}
	case "deaf":
		for _, i := range w.nodes(d.CmdArgs) {
			w.unheard[i] = true
		}
	case "hears":
		for _, i := range w.nodes(d.CmdArgs) {
			delete(w.unheard, i)
		}
	case "lead":
		w.leaders = w.leaders[:0]
		for _, a := range d.CmdArgs {
			w.leaders = append(w.leaders, slices.IndexFunc(w.topo.Nodes, func(n Node) bool { return n.ID == a.Key }))
		}
	case "cpu":
		w.load[w.nodes(d.CmdArgs[:1])[0]], _ = strconv.ParseFloat(arg(1), 64)
	case "late":
		w.late[w.nodes(d.CmdArgs[:1])[0]] = dur(arg(1))
	case "behind", "caught-up":
		for _, i := range w.nodes(d.CmdArgs) {
			if d.Cmd == "behind" {
				w.behind[i] = true
			} else {
				delete(w.behind, i)
			}
		}
	case "jitter":
		w.jitter = dur(arg(0))
	case "sleep":
		w.asleep = true
		w.run(dur(arg(0)), true)
		w.asleep = false
	case "authority":
		w.m.SetAuthority(arg(0) == "yes")
	case "flap":
		var down, up time.Duration
		times := 0
		for _, a := range d.CmdArgs[1:] {
			switch a.Key {
			case "down":
				down = dur(a.Vals[0])
			case "up":
				up = dur(a.Vals[0])
			case "times":
				times, _ = strconv.Atoi(a.Vals[0])
			}
		}
		before := w.promotions
		for range times {
			for _, i := range w.nodes(d.CmdArgs[:1]) {
				w.lost[i] = w.now
			}
			w.run(down, true)
			for _, i := range w.nodes(d.CmdArgs[:1]) {
				delete(w.lost, i)
			}
			w.run(up, true)
		}
		return fmt.Sprintf("%d role changes\n", w.promotions-before)
	case "alerts":
		var out string
		for _, a := range w.m.Alerts() {
			out += fmt.Sprintf("%s %s %s: %s\n", a.Severity, a.Name, strings.TrimSpace(a.Region+" "+a.Node), a.Summary)
		}
		return out
	case "phi":
		det := w.m.nodes[w.nodes(d.CmdArgs[:1])[0]].det
		return fmt.Sprintf("%.1f\n", det.phi(dur(arg(1)), w.m.cfg.PingEvery.d(), w.m.cfg.MinDeviation.d()))
	default:
		t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
	}
	return ""
}

// phi against its definition, computed the long way.
func TestPhiIsTheTailOfTheNormalDistribution(t *testing.T) {
	var d detector
	at := time.Duration(1)
	for i := range 200 {
		d.beat(at, true)
		at += 180*time.Millisecond + time.Duration(i%5)*10*time.Millisecond
	}
	mean, dev := d.moments(200*time.Millisecond, time.Millisecond)
	require.InDelta(t, 0.200, mean, 0.001)
	require.InDelta(t, math.Sqrt(200e-6), dev, 2e-4) // of 180, 190, ... 220 ms
	last := 0.0
	for _, z := range []float64{0, 1, 2, 3, 4} {
		// The integral of the density from z on, by the trapezium rule.
		const h = 1e-4
		tail := 0.0
		for x := z; x < z+12; x += h {
			tail += h * (math.Exp(-x*x/2) + math.Exp(-(x+h)*(x+h)/2)) / 2
		}
		tail /= math.Sqrt(2 * math.Pi)
		got := d.phi(time.Duration((mean+z*dev)*float64(time.Second)), 200*time.Millisecond, time.Millisecond)
		require.InDelta(t, -math.Log10(tail), got, 1e-3, "z = %v", z)
	}
	for s := 200 * time.Millisecond; s < 20*time.Second; s += 10 * time.Millisecond {
		p := d.phi(s, 200*time.Millisecond, 100*time.Millisecond)
		require.False(t, math.IsInf(p, 0) || math.IsNaN(p), s)
		require.GreaterOrEqual(t, p, last, "phi never falls in a silence: %v", s)
		last = p
	}
}

func TestSettings(t *testing.T) {
	c := Config{}
	require.NoError(t, c.Set("replace_after", "3s"))
	require.NoError(t, c.Set("phi", "6"))
	f := c.Filled()
	require.Equal(t, 3*time.Second, time.Duration(f.ReplaceAfter))
	require.Equal(t, 6.0, f.Phi)
	require.Equal(t, Default().FailBack, f.FailBack)
	for name, value := range map[string]string{"replace_after": "soon", "phi": "-1", "no_such": "1s", "no_hysteresis": "true", "fail_back_after": "-2s"} {
		require.Error(t, c.Set(name, value), name)
	}
	require.ErrorContains(t, c.Set("no_such", "1s"), "replace_after")
}

// Two managers that both think that they lead name the epoch that they saw, so
// that of what they ask for at most one is applied (see cluster's tests), and the
// loser decides anew from what was.
func TestTwoManagersDoNotBothMoveHomes(t *testing.T) {
	a, b := newWorld(0, Config{}), newWorld(3, Config{}) // in us and in eu
	var asked []*Homes
	for _, w := range []*world{a, b} {
		w.homes = []int{0, 1}
		w.run(3*time.Second, true)
	}
	for _, i := range []int{3, 4, 5} {
		a.lost[i] = a.now
	}
	for _, i := range []int{0, 1, 2} {
		b.lost[i] = b.now // for b it is the other region that is gone
	}
	for _, w := range []*world{a, b} {
		for range 100 {
			if w.run(step, true); w.wants != nil {
				asked = append(asked, w.wants)
				break
			}
		}
	}
	require.Len(t, asked, 2)
	require.NotEqual(t, asked[0].Stand, asked[1].Stand)
	require.Equal(t, asked[0].Epoch, asked[1].Epoch, "one of the two is refused")
	// What b sees is that a's was applied: its own region is stood in for, and it
	// says so no more than once more, in the next epoch.
	b.wants, b.promote, b.stand, b.epoch = nil, nil, asked[0].Stand, 2
	b.run(1500*time.Millisecond, true)
	require.Nil(t, b.wants, "not before roles have settled")
	b.run(2*time.Second, true)
	require.Equal(t, uint64(3), b.epoch)
	require.Equal(t, map[int]int{0: 1}, b.stand, "us is gone for b, and eu is needed")
}

package loadgen

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/loadgen/internal/fakeresp"
	"github.com/fivenines/fivenines/loadgen/resp"
)

// book is a Recorder that keeps everything.
type book struct {
	mu  sync.Mutex
	ops []history.Op
	bad error
}

func (b *book) Record(ops []history.Op) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range ops {
		if err := ops[i].Validate(); err != nil && b.bad == nil {
			b.bad = fmt.Errorf("%+v: %w", ops[i], err)
		}
	}
	b.ops = append(b.ops, ops...)
}

func (b *book) all() []history.Op {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]history.Op(nil), b.ops...)
}

// rig is a store behind several servers, in regions, and a generator.
type rig struct {
	t       *testing.T
	store   *fakeresp.Store
	servers []*fakeresp.Server
	entries []Entry
	book    *book
	e       *engine
	epoch   time.Time
	lag     time.Duration
}

// inTime ends a test before it judges times, if the machine was so busy that the
// generator itself fell behind: nothing can be concluded then.
func (r *rig) inTime() {
	r.t.Helper()
	if r.lag > 60*time.Millisecond {
		r.t.Skipf("inconclusive: the machine is too busy, the generator fell behind by %v", r.lag)
	}
}

func mix() Mix { return Mix{Read: 0.70, Update: 0.24, Create: 0.02, Touch: 0.02, Close: 0.02} }

// newRig starts a server for each given region and a generator whose clients
// stand in region 0.
func newRig(t *testing.T, w Workload, regions ...int) *rig {
	t.Helper()
	return newRigBehind(t, w, 0, regions...)
}

// newRigBehind has links with a delay.
func newRigBehind(t *testing.T, w Workload, delay time.Duration, regions ...int) *rig {
	t.Helper()
	r := &rig{t: t, store: fakeresp.NewStore(true), book: &book{}, epoch: time.Now()}
	for i, region := range regions {
		s, err := fakeresp.Start(fmt.Sprintf("n%d", i), r.store)
		require.NoError(t, err)
		s.Delay(delay, 0)
		r.servers = append(r.servers, s)
		r.entries = append(r.entries, Entry{Node: i, NodeID: s.ID, Region: region, Address: s.Addr, Host: fmt.Sprintf("192.0.2.%d", i+1)})
	}
	if w.Sessions == 0 {
		w.Sessions = 500
	}
	if w.Rate == 0 {
		w.Rate = 2000
	}
	if w.Mix == (Mix{}) {
		w.Mix = mix()
	}
	if w.Clients == nil {
		w.Clients = []RegionShare{{0, 1}}
	}
	w.Seed = 7
	w.Partition = func(key string) int { return resp.Slot([]byte(key)) * 4 / resp.Slots }
	w.Entries = func(region int) []Entry {
		var near, far []Entry
		for _, e := range r.entries {
			if e.Region == region {
				near = append(near, e)
			} else {
				far = append(far, e)
			}
		}
		return append(near, far...)
	}
	g, err := New(w, r.book, func() time.Duration { return time.Since(r.epoch) })
	require.NoError(t, err)
	r.e = g.(*engine)
	t.Cleanup(func() {
		require.NoError(t, g.Close())
		for _, s := range r.servers {
			s.Close()
		}
		require.NoError(t, r.book.bad)
		require.Equal(t, len(r.book.ops), int(r.e.stats.total.Intended), "every intended operation is recorded exactly once")
	})
	return r
}

// doubtful is the number of sessions whose create or close ended unknown; on a
// machine that is short of time there may be some in any test.
func (r *rig) doubtful() (n int) {
	r.e.mu.Lock()
	defer r.e.mu.Unlock()
	r.e.s.all.each(func(_ uint64, s *session) {
		if s.fate == doubtful {
			n++
		}
	})
	return n
}

// lead makes every server say that the given one leads all slots.
func (r *rig) lead(i int) {
	e := r.entries[i]
	for _, s := range r.servers {
		s.Lead(func() []resp.SlotRange {
			return []resp.SlotRange{{Start: 0, End: resp.Slots - 1, Host: "10.0.0.1", Port: 1, NodeID: e.NodeID}}
		})
	}
}

func (r *rig) fill() {
	r.t.Helper()
	require.NoError(r.t, r.e.Fill(r.t.Context()))
}

// run runs the load and returns its operations, after checking that they are
// exactly the schedule's.
func (r *rig) run(d time.Duration, beside ...func()) []history.Op {
	r.t.Helper()
	from := len(r.book.all())
	var wg sync.WaitGroup
	for _, f := range beside {
		wg.Go(f)
	}
	require.NoError(r.t, r.e.Run(r.t.Context(), d))
	wg.Wait()
	r.lag = r.e.Snapshot().LagP999
	ops := r.book.all()[from:]
	due := PoissonPacer{Rate: r.e.w.Rate, Seed: uint64(r.e.w.Seed) + r.e.runs<<48}.Due(nil, 0, d)
	require.Equal(r.t, len(due), len(ops), "one record for each arrival of the schedule")
	return ops
}

func count(ops []history.Op, f func(*history.Op) bool) (n int) {
	for i := range ops {
		if f(&ops[i]) {
			n++
		}
	}
	return n
}

func good(o *history.Op) bool { return o.Outcome == history.OK && o.Latency() <= time.Second }
func bad(o *history.Op) bool  { return !good(o) }

func after(d time.Duration, f func()) func() {
	return func() {
		<-time.After(d)
		f()
	}
}

func TestCloseStopsEverything(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("rig", func(t *testing.T) {
		r := newRig(t, Workload{Sessions: 10, Witness: Witness{Region: 1, Rate: 10}, Eventual: Eventual{Region: 2, Rate: 10}}, 0, 1, 2)
		r.fill()
		require.NoError(t, r.e.ReadBack(t.Context(), 1, 1000))
		require.Greater(t, runtime.NumGoroutine(), before+20)
		r.servers[0].Stall()
	})
	// Eventually looks from a goroutine of its own.
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+1 }, 5*time.Second, 5*time.Millisecond, "goroutines are left over")
}

func TestHealthySystem(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{
		ShortShare: 0.05, ShortTTL: 10 * time.Second,
		Witness: Witness{Region: 1, Rate: 200}, Contested: ContestedLoad{Sessions: 4, Rate: 200},
	}, 0, 0, 1)
	r.lead(1)
	r.fill()
	require.Equal(t, 500+witnessSessions+4, r.e.Snapshot().Live)
	ops := r.run(time.Second)
	r.inTime()
	require.Zero(t, count(ops, bad))
	closed := map[uint64]bool{} // a read may overtake, or be overtaken by, a close
	for i := range ops {
		closed[ops[i].Session] = closed[ops[i].Session] || ops[i].Kind == history.Close
	}
	kinds, classes, writers := map[history.Kind]float64{}, map[history.Class]float64{}, map[uint16]map[uint8]bool{}
	for i := range ops {
		o := &ops[i]
		classes[o.Class]++
		if o.Class == history.Follower {
			kinds[o.Kind]++
			require.False(t, o.Exists || o.Corrupt, "%+v", o)
			require.False(t, o.Absent && !closed[o.Session], "%+v", o)
			require.EqualValues(t, 1, o.Node, "goes to the leader")
			require.EqualValues(t, 0, o.Region)
		}
		if o.Class == history.Witness {
			require.EqualValues(t, 2, o.Node, "stays in its region")
			require.EqualValues(t, 1, o.Region)
		}
		if o.Class == history.Contested {
			if writers[o.Client] == nil {
				writers[o.Client] = map[uint8]bool{}
			}
			writers[o.Client][o.Region] = true
		}
	}
	n := float64(len(ops))
	require.InDelta(t, 0.1, classes[history.Witness]/n, 0.03)
	require.InDelta(t, 0.1, classes[history.Contested]/n, 0.03)
	f := classes[history.Follower]
	require.InDelta(t, 0.70, kinds[history.Read]/f, 0.05)
	require.InDelta(t, 0.24, kinds[history.Update]/f, 0.05)
	require.InDelta(t, 0.04, (kinds[history.Create]+kinds[history.Close])/f, 0.02)
	require.Len(t, writers, contestedWriters)
	require.InDelta(t, 500+witnessSessions+4, r.e.Snapshot().Live, 5, "the population keeps its level")
	require.Less(t, r.e.Snapshot().LagP999, 500*time.Millisecond)

	iv := r.e.Interval()
	ops = r.book.all()
	require.EqualValues(t, count(ops, follows), iv.Intended)
	require.EqualValues(t, count(ops, func(o *history.Op) bool { return follows(o) && good(o) }), iv.OK)
	require.Equal(t, iv.Intended, iv.OK+iv.Bad)
	require.Positive(t, iv.ReadP99)
	require.Positive(t, r.e.Snapshot().CPU)
	require.Zero(t, r.e.Interval().Intended)
}

// The state that a session's owner wrote last is what everybody reads; what was
// acknowledged is never older than what was read before.
func TestReadsAreConsistentOnASoundStore(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{Sessions: 50, Rate: 4000}, 0, 0)
	r.fill()
	acked := map[uint64]uint32{}
	ops := append(r.book.all(), r.run(time.Second)...)
	for i := range ops {
		o := &ops[i]
		if o.Kind == history.Read && o.Start > 0 {
			require.False(t, o.Corrupt)
		}
		if o.Kind == history.Create || o.Kind == history.Update {
			require.Greater(t, o.Seq, acked[o.Session], "sequence numbers ascend, one write at a time")
			acked[o.Session] = o.Seq
		}
	}
	times, _ := r.store.MostSent()
	require.Equal(t, 1, times)
}

func TestShowsLossAndCorruption(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{Sessions: 40}, 0)
	r.fill()
	keys := r.store.Keys()
	lost, changed, swapped := keys[0], keys[1], keys[2]
	r.store.Delete(lost)
	r.store.Set(changed, []byte("rubbish"))
	r.store.Set(swapped, AppendState(nil, State{Session: 99999, Seq: 1}, 256))
	n := func(key string) (n uint64) {
		_, err := fmt.Sscanf(key, "session:{%d}", &n)
		require.NoError(t, err)
		return n
	}
	from := len(r.book.all())
	require.NoError(t, r.e.ReadBack(t.Context(), 0, 10_000))
	ops := r.book.all()[from:]
	require.Equal(t, 40+r.doubtful(), len(ops))
	for i := range ops {
		o := &ops[i]
		require.Equal(t, history.OK, o.Outcome)
		require.Equal(t, history.ReadBack, o.Kind)
		require.Equal(t, o.Session == n(lost), o.Absent, "%+v", o)
		require.Equal(t, o.Session == n(changed) || o.Session == n(swapped), o.Corrupt, "%+v", o)
	}
	// The writer finds out as well, and the session is gone for it.
	ops = r.run(500 * time.Millisecond)
	r.inTime()
	require.Equal(t, 1, count(ops, func(o *history.Op) bool { return o.Session == n(lost) && o.Kind != history.Read && o.Absent }))
}

// A server that stalls for a second is charged for the operations of that
// second, each from its intended start.
func TestOpenLoopChargesAStall(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{Rate: 1000}, 0)
	r.fill()
	var from, to time.Duration
	ops := r.run(2500*time.Millisecond, after(500*time.Millisecond, func() {
		from = r.e.clock()
		r.servers[0].Stall()
	}), after(1300*time.Millisecond, func() {
		r.servers[0].Resume()
		to = r.e.clock()
	}))
	stalled, late := 0, 0
	for i := range ops {
		o := &ops[i]
		if o.Intended > from+20*time.Millisecond && o.Intended < to-20*time.Millisecond {
			stalled++
			if o.Latency() >= to-o.Intended-20*time.Millisecond {
				late++
			}
		}
	}
	require.InDelta(t, (to-from).Seconds()*1000, stalled, 200, "the schedule went on")
	r.inTime()
	require.GreaterOrEqual(t, late, stalled*95/100, "each waited until the server came back")
	require.Less(t, count(ops, bad), 100, "nearly all were answered within a second of their intended start")
}

// The second entry takes over within about a second of silence of the first.
func TestFailsOverToTheSecondEntry(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{}, 0, 1)
	r.lead(0)
	r.fill()
	var from time.Duration
	ops := r.run(3*time.Second, after(time.Second, func() {
		from = r.e.clock()
		r.servers[0].Stall()
	}))
	r.inTime()
	last := from
	for i := range ops {
		if o := &ops[i]; bad(o) {
			last = max(last, o.Intended)
			if o.Kind.IsWrite() {
				require.Equal(t, history.Unknown, o.Outcome, "%+v", o)
			}
		}
	}
	require.Greater(t, last, from, "the stall was felt")
	require.Less(t, last-from, 700*time.Millisecond, "silence of 0.4 s is enough")
	require.Positive(t, count(ops, func(o *history.Op) bool { return good(o) && o.Node == 1 && o.Intended > from+time.Second }))
	times, value := r.store.MostSent()
	require.Equal(t, 1, times, "no write was sent twice: %q", value)
}

func TestBrokenConnections(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{}, 0, 0)
	for _, s := range r.servers {
		s.Lead(nil)
	}
	r.fill()
	// Stall first, so that there is something that the connections owe.
	ops := r.run(2*time.Second, after(500*time.Millisecond, func() {
		r.servers[0].Stall()
	}), after(700*time.Millisecond, func() {
		r.servers[0].Break()
		r.servers[0].Resume()
	}))
	broken := count(ops, func(o *history.Op) bool { return o.Outcome == history.Unknown && o.Cause == history.Broken })
	require.Positive(t, broken)
	times, _ := r.store.MostSent()
	require.Equal(t, 1, times)
	r.inTime()
	require.Equal(t, broken, count(ops, bad))
	require.Zero(t, count(ops, func(o *history.Op) bool { return o.Outcome == history.Unknown && !o.Kind.IsWrite() }))
	require.Positive(t, count(ops, func(o *history.Op) bool { return o.Kind == history.Read && o.Retries > 0 && good(o) }), "reads are retried")
}

func refuse(s *fakeresp.Server, f func(cmd, key string) string) {
	if f == nil {
		s.Refuse.Store(nil)
		return
	}
	s.Refuse.Store(&f)
}

// NOTAPPLIED is retried until the deadline, by a bounded number of requests.
func TestRefusalsAreRetried(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{Rate: 2000, Sessions: 4000}, 0)
	r.fill()
	before := r.servers[0].Commands.Load()
	ops := r.run(3*time.Second, after(time.Second, func() {
		refuse(r.servers[0], func(string, string) string { return "NOTAPPLIED no leader" })
	}), after(1400*time.Millisecond, func() { refuse(r.servers[0], nil) }))
	r.inTime()
	require.Less(t, count(ops, bad), len(ops)/50, "0.4 s without a leader are inside the deadline")
	retried := count(ops, func(o *history.Op) bool { return o.Retries > 0 })
	require.Positive(t, retried)
	extra := int(r.servers[0].Commands.Load()-before) - len(ops)
	require.Positive(t, extra)
	require.Less(t, extra, 2000, "a few probes, not a storm")

	// Without an end they fail, certainly not applied.
	ops = r.run(1500*time.Millisecond, func() {
		refuse(r.servers[0], func(cmd, _ string) string {
			if cmd == "GET" {
				return ""
			}
			return "NOTAPPLIED no leader"
		})
	})
	refuse(r.servers[0], nil)
	failed := count(ops, func(o *history.Op) bool { return o.Outcome == history.Failed && o.Cause == history.NotApplied })
	require.InDelta(t, count(ops, bad), failed, 10, "a probe may be on its way when its deadline comes")
	require.InDelta(t, 0.3, float64(failed)/float64(len(ops)), 0.05)
	require.Zero(t, count(ops, func(o *history.Op) bool { return o.Kind == history.Read && bad(o) }))
}

// Behind a long link the first answer may come too late for the operation that
// asked; it still has to open the gate.
func TestRecoversBehindALongLink(t *testing.T) {
	t.Parallel()
	r := newRigBehind(t, Workload{Sessions: 4000}, 150*time.Millisecond, 0)
	r.fill()
	var healed time.Duration
	ops := r.run(4500*time.Millisecond, after(500*time.Millisecond, func() {
		refuse(r.servers[0], func(string, string) string { return "NOTAPPLIED no leader" })
	}), after(2500*time.Millisecond, func() {
		refuse(r.servers[0], nil)
		healed = r.e.clock()
	}))
	r.inTime()
	last := time.Duration(0)
	for i := range ops {
		if bad(&ops[i]) {
			last = max(last, ops[i].Intended)
		}
	}
	require.Greater(t, last, healed-time.Second)
	require.Less(t, last, healed, "what was intended after the end is served")
}

// Clients go to another region when theirs keeps refusing, even while its nodes
// say that they lead.
func TestRefusingLeaderIsLeft(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{}, 0, 1)
	r.lead(0)
	r.fill()
	refuse(r.servers[0], func(string, string) string { return "NOTAPPLIED lost its quorum" })
	ops := r.run(2 * time.Second)
	r.inTime()
	require.Less(t, count(ops, bad), len(ops)/10)
	require.Greater(t, count(ops, func(o *history.Op) bool { return o.Node == 1 && good(o) }), len(ops)*8/10)
}

func TestErrorReplies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		reply       string
		read, write history.Outcome
		readC       history.Cause
		writeC      history.Cause
	}{
		{"UNKNOWN gave up", history.Unknown, history.Unknown, history.Timeout, history.Timeout},
		{"ERR out of cheese", history.Failed, history.Unknown, history.ErrorReply, history.ErrorReply},
		{"CLUSTERDOWN Hash slot not served", history.Failed, history.Failed, history.NotApplied, history.NotApplied},
		{"MOVED 1 127.0.0.1:1", history.Failed, history.Failed, history.NotApplied, history.NotApplied},
	} {
		t.Run(c.reply, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, Workload{Rate: 500, Deadline: 400 * time.Millisecond}, 0)
			r.fill()
			refuse(r.servers[0], func(string, string) string { return c.reply })
			ops := r.run(500 * time.Millisecond)
			other := count(ops, func(o *history.Op) bool {
				if o.Kind.IsWrite() {
					return o.Outcome != c.write || o.Cause != c.writeC
				}
				return o.Outcome != c.read || o.Cause != c.readC
			})
			r.inTime()
			// The deadline may come while the last attempt is on its way.
			require.Less(t, other, 1+len(ops)/5)
		})
	}
}

func TestFollowsARedirection(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{}, 0, 0)
	for _, s := range r.servers {
		s.Lead(func() []resp.SlotRange { return nil })
	}
	refuse(r.servers[0], func(string, string) string { return "MOVED 1 " + r.servers[1].Addr })
	r.fill()
	ops := r.run(time.Second)
	r.inTime()
	require.Zero(t, count(ops, bad))
	require.Greater(t, count(ops, func(o *history.Op) bool { return o.Node == 1 }), len(ops)*9/10)
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{Sessions: 300, Rate: 300, ShortShare: 0.5, ShortTTL: 300 * time.Millisecond}, 0)
	r.fill()
	ops := r.run(2 * time.Second)
	r.inTime()
	require.Zero(t, count(ops, bad))
	gone := count(ops, func(o *history.Op) bool { return o.Absent && o.Kind == history.Read })
	require.Positive(t, gone, "sessions that are over are still read, now and then")
	require.Less(t, gone, len(ops)/10)
	for _, o := range ops {
		if o.Kind == history.Create {
			require.Contains(t, []uint32{300, 300_000}, o.TTL)
		}
	}
	require.InDelta(t, 300, r.e.Snapshot().Live, 150)
}

// A session whose create ended unknown is not used again, and read back.
func TestUnknownCreatesAreReadBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{Sessions: 100}, 0, 0)
	unknown := map[string]bool{}
	var mu sync.Mutex
	for _, s := range r.servers {
		refuse(s, func(cmd, key string) string {
			mu.Lock()
			defer mu.Unlock()
			if cmd == "SET" && len(unknown) < 5 {
				unknown[key] = true
				return "UNKNOWN gave up"
			}
			return ""
		})
	}
	r.fill()
	require.Equal(t, 100, r.e.Snapshot().Live)
	require.GreaterOrEqual(t, r.doubtful(), 5)
	from := len(r.book.all())
	require.NoError(t, r.e.ReadBack(t.Context(), 0, 10_000))
	ops := r.book.all()[from:]
	require.Equal(t, 100+r.doubtful(), len(ops))
	for key := range unknown {
		require.Equal(t, 1, count(ops, func(o *history.Op) bool { return string(appendKey(nil, o.Session)) == key }))
	}
}

func TestReadBackOfASilentRegion(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{Sessions: 100}, 0, 1)
	r.fill()
	r.servers[1].Stall()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	from := len(r.book.all())
	err := r.e.ReadBack(ctx, 1, 200)
	n := 100 + r.doubtful()
	require.ErrorContains(t, err, fmt.Sprintf("%d of %d sessions got no answer from region 1", n, n))
	ops := r.book.all()[from:]
	require.Equal(t, n, len(ops))
	require.Equal(t, n, count(ops, func(o *history.Op) bool { return o.Outcome != history.OK }))

	// It waits for an answer, through refusals and a stall longer than a deadline.
	refuse(r.servers[1], func(string, string) string { return "NOTAPPLIED not yet" })
	var wg sync.WaitGroup
	wg.Go(after(1300*time.Millisecond, r.servers[1].Resume))
	wg.Go(after(1600*time.Millisecond, func() { refuse(r.servers[1], nil) }))
	from = len(r.book.all())
	require.NoError(t, r.e.ReadBack(t.Context(), 1, 10_000))
	wg.Wait()
	ops = r.book.all()[from:]
	require.Equal(t, n, len(ops))
	for i := range ops {
		require.Equal(t, history.OK, ops[i].Outcome)
		require.EqualValues(t, 1, ops[i].Node)
	}
	require.ErrorContains(t, r.e.ReadBack(t.Context(), 9, 100), "no entry stands in region 9")
}

func TestFillSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{Sessions: 10}, 0)
	refuse(r.servers[0], func(string, string) string { return "ERR no such thing as a session" })
	require.ErrorContains(t, r.e.Fill(t.Context()), "no such thing as a session")
	refuse(r.servers[0], func(string, string) string { return "NOTAPPLIED" })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	require.ErrorContains(t, r.e.Fill(ctx), "10 of 10 sessions")
	refuse(r.servers[0], nil)
	r.fill()
}

func TestStoppedRunRecordsWhatIsOutstanding(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{}, 0)
	r.fill()
	from := len(r.book.all())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	wg.Go(after(300*time.Millisecond, r.servers[0].Stall))
	wg.Go(after(500*time.Millisecond, cancel))
	begin := time.Now()
	require.ErrorIs(t, r.e.Run(ctx, time.Minute), context.Canceled)
	require.Less(t, time.Since(begin), 20*time.Second)
	wg.Wait()
	ops := r.book.all()[from:]
	out := count(ops, func(o *history.Op) bool { return o.Outcome == history.Unknown && o.Kind.IsWrite() })
	require.Greater(t, out, 50)
	require.Equal(t, count(ops, bad), count(ops, func(o *history.Op) bool { return o.Outcome == history.Unknown }))
}

func TestBackpressure(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{}, 0)
	r.fill()
	r.e.mu.Lock()
	r.e.maxOpen = 100
	r.e.mu.Unlock()
	r.servers[0].Stall()
	ops := r.run(500 * time.Millisecond)
	r.servers[0].Resume()
	unsent := count(ops, func(o *history.Op) bool { return o.Outcome == history.Unsent && o.Cause == history.Backpressure })
	require.InDelta(t, len(ops)-101, unsent, 1)
	require.EqualValues(t, unsent, r.e.Snapshot().Unsent)
	// Their sessions are not left as if a write were outstanding.
	r.e.s.all.each(func(n uint64, s *session) { require.False(t, s.busy, "session %d", n) })
	r.e.maxOpen = 10_000
	require.Zero(t, count(r.run(time.Second), func(o *history.Op) bool { return o.Outcome == history.Unsent }))
}

// A generator that was held up sends what it missed, with its intended starts,
// and says how late it was.
func TestHeldUpGeneratorKeepsIntendedStarts(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{}, 0)
	r.fill()
	ops := r.run(time.Second, after(300*time.Millisecond, func() {
		r.e.mu.Lock()
		time.Sleep(250 * time.Millisecond) // the hold-up itself
		r.e.mu.Unlock()
	}))
	require.Greater(t, r.e.Snapshot().LagP999, 200*time.Millisecond)
	require.Greater(t, count(ops, func(o *history.Op) bool { return o.Start-o.Intended > 50*time.Millisecond }), 200)
}

// The same seed and the same completions give the same operations.
func TestSequenceFollowsFromTheSeed(t *testing.T) {
	t.Parallel()
	draw := func(seed int64) string {
		w := Workload{
			Sessions: 100, Rate: 1000, Mix: mix(), Seed: seed, Zipf: 1.2, ShortShare: 0.05, ShortTTL: 10 * time.Second,
			Clients: []RegionShare{{0, 0.7}, {1, 0.3}}, Witness: Witness{Region: 1, Rate: 50}, Contested: ContestedLoad{Sessions: 3, Rate: 50},
			Entries: func(int) []Entry {
				return []Entry{{Address: "127.0.0.1:1"}, {Address: "127.0.0.1:2", Node: 1, Region: 1}}
			},
		}
		require.NoError(t, w.complete())
		e := &engine{w: w}
		require.NoError(t, e.people())
		e.stats.init()
		var b strings.Builder
		for i := range 20_000 {
			now := time.Duration(i) * time.Millisecond
			in := e.s.draw(now)
			fmt.Fprintln(&b, in)
			op := history.Op{Kind: in.kind, Class: in.class, Session: in.n, Seq: in.seq, TTL: in.ttl, End: now, Outcome: history.OK}
			e.s.settle(&op)
			e.s.expire(now)
		}
		return b.String()
	}
	one := draw(1)
	require.Equal(t, one, draw(1))
	require.NotEqual(t, one, draw(2))
}

func TestWorkloadIsChecked(t *testing.T) {
	ok := Workload{
		Sessions: 1, Rate: 1, Mix: mix(), Clients: []RegionShare{{0, 1}},
		Entries: func(int) []Entry { return []Entry{{Address: "127.0.0.1:1"}} },
	}
	require.NoError(t, ok.complete())
	for name, spoil := range map[string]func(*Workload){
		"sessions":    func(w *Workload) { w.Sessions = 0 },
		"rate":        func(w *Workload) { w.Rate = 0 },
		"mix":         func(w *Workload) { w.Mix.Read = 2 },
		"zipf":        func(w *Workload) { w.Zipf = 0.5 },
		"clients":     func(w *Workload) { w.Clients = nil },
		"entries":     func(w *Workload) { w.Entries = nil },
		"state":       func(w *Workload) { w.StateBytes = 3 },
		"short":       func(w *Workload) { w.ShortShare = 0.1 },
		"witness":     func(w *Workload) { w.Witness.Rate = 2 },
		"no entry":    func(w *Workload) { w.Entries = func(int) []Entry { return nil } },
		"its witness": func(w *Workload) { w.Witness = Witness{Region: 5, Rate: 1} },
	} {
		t.Run(name, func(t *testing.T) {
			w := ok
			spoil(&w)
			_, err := New(w, &book{}, func() time.Duration { return 0 })
			require.Error(t, err)
		})
	}
}

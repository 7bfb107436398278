package loadgen

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/loadgen/internal/fakeresp"
)

// eventualCount is the number of reads that the servers answered on connections
// that had sent READONLY.
func eventualCount(servers ...*fakeresp.Server) (n int) {
	for _, s := range servers {
		n += int(s.Eventual.Load())
	}
	return n
}

func isEventual(o *history.Op) bool { return o.Class == history.Eventual }

// owners are the clients that write the sessions.
func owners(ops []history.Op) map[uint64]uint16 {
	by := map[uint64]uint16{}
	for i := range ops {
		if ops[i].Kind == history.Create {
			by[ops[i].Session] = ops[i].Client
		}
	}
	return by
}

// unlike counts the eventual reads that lack what their own writer had written,
// those that begin after such a write, and those that go to a session that an
// eventual read had read before.
func unlike(ops []history.Op) (lacking, after, again int) {
	acked, read := map[uint64]history.Op{}, map[uint64]time.Duration{}
	for i := range ops { // in the order in which they ended
		o := &ops[i]
		switch {
		case isEventual(o) && o.Outcome == history.OK:
			if w, ok := acked[o.Session]; ok && w.End < o.Start {
				after++
				if o.Absent || o.Seq < w.Seq {
					lacking++
				}
			}
			if at, ok := read[o.Session]; ok && at < o.Start {
				again++
			}
			read[o.Session] = o.End
		case (o.Kind == history.Create || o.Kind == history.Update) && o.Outcome == history.OK && !o.Absent && !o.Exists:
			acked[o.Session] = *o
		case o.Kind == history.Close:
			delete(acked, o.Session)
		}
	}
	return lacking, after, again
}

// Eventual reads go to all entries of their region over connections that sent
// READONLY, on behalf of the sessions' owners, within the rate; nobody else's
// connections are such.
func TestEventualReadsGoToAnyReplica(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{Sessions: 2000, Eventual: Eventual{Region: 1, Rate: 400}}, 0, 1, 1)
	r.lead(0)
	r.fill()
	ops := r.run(1500 * time.Millisecond)
	r.inTime()
	require.Zero(t, count(ops, bad))
	all := r.book.all()
	by := owners(all)
	per := map[uint8]int{}
	n := 0
	for i := range ops {
		o := &ops[i]
		if !isEventual(o) {
			require.EqualValues(t, 0, o.Node, "the others go to the leader")
			continue
		}
		n++
		per[o.Node]++
		require.Equal(t, history.Read, o.Kind)
		require.EqualValues(t, 1, o.Region)
		require.Equal(t, by[o.Session], o.Client, "on behalf of the owner")
		require.False(t, o.Corrupt)
	}
	require.InDelta(t, 0.2, float64(n)/float64(len(ops)), 0.03)
	require.Len(t, per, 2, "nodes of the region")
	require.InDelta(t, n/2, per[1], float64(n)/10)
	require.Equal(t, n, eventualCount(r.servers[1:]...), "all of them, and no others, on such connections")
	require.Zero(t, eventualCount(r.servers[0]))
	lacking, after, again := unlike(all)
	require.Zero(t, lacking, "nothing lags")
	require.Greater(t, after, n/2)
	require.Greater(t, again, n/4, "of two thousand sessions the same ones are read again")
	require.EqualValues(t, count(all, follows), r.e.Interval().Intended, "they are nobody's availability")
}

// A replica that lags shows in what its readers find.
func TestEventualReadsOfALaggingReplica(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{Sessions: 200, Eventual: Eventual{Region: 1, Rate: 400}}, 0, 1)
	r.lead(0)
	r.servers[1].Lag(60 * time.Millisecond)
	r.fill()
	ops := r.run(1500 * time.Millisecond)
	r.inTime()
	require.Zero(t, count(ops, bad))
	lacking, after, _ := unlike(r.book.all())
	require.Greater(t, lacking, after/20, "of %d reads after a write of their owner", after)
	require.Less(t, lacking, after)
	require.Zero(t, count(ops, func(o *history.Op) bool { return !isEventual(o) && o.Node != 0 }))
}

// When the region is down its readers go to the next one, on connections that sent
// READONLY too, and come back.
func TestEventualReadsFallOver(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{Rate: 1000, Eventual: Eventual{Region: 1, Rate: 500}}, 0, 1)
	r.lead(0)
	r.fill()
	var down, up time.Duration
	ops := r.run(3200*time.Millisecond, after(500*time.Millisecond, func() {
		r.servers[1].Stall()
		down = r.e.clock()
	}), after(1500*time.Millisecond, func() {
		r.servers[1].Resume()
		up = r.e.clock()
	}))
	r.inTime()
	over := count(ops, func(o *history.Op) bool { return isEventual(o) && good(o) && o.Node == 0 && o.Intended > down })
	require.Greater(t, over, 150, "reads that went over")
	require.GreaterOrEqual(t, eventualCount(r.servers[0]), over, "any replica may answer there too")
	require.Greater(t, count(ops, func(o *history.Op) bool { return isEventual(o) && good(o) && o.Node == 1 && o.Intended > up }), 100, "they come back")
	require.Zero(t, count(ops, func(o *history.Op) bool { return !isEventual(o) && bad(o) }), "nobody else noticed")
}

// A server that knows no READONLY, and one that redirects what it has no replica
// of, are read all the same.
func TestEventualReadsElsewhere(t *testing.T) {
	t.Parallel()
	r := newRig(t, Workload{Eventual: Eventual{Region: 1, Rate: 300}}, 0, 1)
	r.lead(0)
	moved := func(cmd, key string) string {
		return "MOVED 1 " + r.servers[0].Addr
	}
	r.servers[1].Refuse.Store(&moved)
	r.servers[1].NoReadOnly.Store(true)
	r.servers[1].Break()
	r.fill()
	ops := r.run(700 * time.Millisecond)
	r.inTime()
	require.Zero(t, count(ops, bad))
	n := count(ops, isEventual)
	require.InDelta(t, 210, n, 60)
	require.Equal(t, n, eventualCount(r.servers[0]), "answered where the redirection led")
}

func TestEventualRateMustFit(t *testing.T) {
	w := Workload{
		Sessions: 1, Rate: 100, Mix: mix(), Clients: []RegionShare{{0, 1}}, Entries: func(int) []Entry { return nil },
		Witness: Witness{Rate: 30}, Contested: ContestedLoad{Rate: 30}, Eventual: Eventual{Rate: 41},
	}
	require.ErrorContains(t, w.complete(), "eventual rates of 30, 30 and 41 do not fit into 100")
	w.Eventual.Rate = 40
	require.NoError(t, w.complete())
	w.Eventual.Rate = -1
	require.Error(t, w.complete())
	w.Eventual = Eventual{Region: 256, Rate: 1}
	require.ErrorContains(t, w.complete(), "eventual reads in region 256")
}

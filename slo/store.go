package slo

import (
	"runtime"
	"slices"
	"sync"

	"github.com/fivenines/fivenines/loadgen/history"
)

const (
	chunkBits = 15
	chunkSize = 1 << chunkBits
)

// store keeps the operations of a trial (56 bytes each) in chunks, so that
// growing never copies.
type store struct {
	chunks [][]history.Op
	n      int
}

func (s *store) add(o *history.Op) error {
	if s.n&(chunkSize-1) == 0 {
		s.chunks = append(s.chunks, make([]history.Op, 0, chunkSize))
	}
	last := &s.chunks[len(s.chunks)-1]
	*last = append(*last, *o)
	s.n++
	return nil
}

func (s *store) at(i uint32) *history.Op { return &s.chunks[i>>chunkBits][i&(chunkSize-1)] }

func (s *store) each(fn func(o *history.Op)) {
	for _, c := range s.chunks {
		for i := range c {
			fn(&c[i])
		}
	}
}

// groups are the operations by session: sessions in order of their number, 4
// bytes an operation.
type groups struct {
	ids   []uint64
	start []uint32 // start[i] to start[i+1] in perm are session i's
	perm  []uint32
}

func (s *store) group() groups {
	var g groups
	index := make(map[uint64]uint32)
	of := make([]uint32, 0, s.n) // session of each operation, by first sight
	s.each(func(o *history.Op) {
		i, ok := index[o.Session]
		if !ok {
			i = uint32(len(g.ids))
			index[o.Session] = i
			g.ids = append(g.ids, o.Session)
		}
		of = append(of, i)
	})
	order := slices.Clone(g.ids)
	slices.Sort(order)
	rank := make([]uint32, len(order))
	for r, id := range order {
		rank[index[id]] = uint32(r)
	}
	g.ids = order
	g.start = make([]uint32, len(order)+1)
	for _, i := range of {
		g.start[rank[i]+1]++
	}
	for i := 1; i < len(g.start); i++ {
		g.start[i] += g.start[i-1]
	}
	next := slices.Clone(g.start)
	g.perm = make([]uint32, s.n)
	for op, i := range of {
		r := rank[i]
		g.perm[next[r]] = uint32(op)
		next[r]++
	}
	return g
}

// opsOf copies the operations of session i to buf.
func (g *groups) opsOf(s *store, i int, buf []history.Op) []history.Op {
	buf = buf[:0]
	for _, op := range g.perm[g.start[i]:g.start[i+1]] {
		buf = append(buf, *s.at(op))
	}
	return buf
}

// parallel splits [0,n) into one range per processor and waits for all. fn's
// results must be joined in order of the ranges, so that they do not depend on
// the number of processors.
func parallel[T any](n int, fn func(from, to int) T) []T {
	workers := parallelism(n)
	out := make([]T, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() { out[w] = fn(n*w/workers, n*(w+1)/workers) })
	}
	wg.Wait()
	return out
}

// parallelism is how many workers n pieces of work get.
func parallelism(n int) int { return max(1, min(runtime.GOMAXPROCS(0), n)) }

// Package example is a small session store, and a test of what it keeps when
// its nodes are taken away (store_test.go).
//
// One node leads; the others send it what their clients ask for. It answers a
// write once every node that it still hears has it, and nothing once it hears
// nobody. If it dies or falls silent, the first of the others that has everything
// leads. That survives the loss of one node, and is no consensus: a cut between the
// leader and some of the others would split it in two.
package example

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"net"
	"net/rpc"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/fixtures/inprocess"
	"github.com/fivenines/fivenines/loadgen/history"
)

// Unreplicated is the mutant whose leader keeps every session to itself.
const Unreplicated = "unreplicated"

// System is the store as a system under test.
func System() *inprocess.System {
	return &inprocess.System{Called: "example", Node: run, ProbePeer: probe, Broken: []string{Unreplicated}}
}

const (
	tick    = 50 * time.Millisecond
	patient = 600 * time.Millisecond // without a word of the leader, or an answer
	lease   = patient / 2            // what a leader nobody heard of may still do; ends before others lose patience
)

// Entry is a session; Gone is what is left of one that was ended.
type Entry struct {
	Key     string
	State   []byte
	Expires time.Time
	Gone    bool
	Epoch   uint64 // in which it was written, the Seq-th
	Seq     uint64
}

func (e Entry) there() bool {
	return e.Seq > 0 && !e.Gone && (e.Expires.IsZero() || time.Now().Before(e.Expires))
}

type store struct {
	n     *inprocess.Node
	order []string // all nodes; the first that can lead does

	keys [256]sync.Mutex // held until a write is safe, so that nobody reads one that is not
	seed maphash.Seed

	mu      sync.Mutex
	table   map[string]Entry
	seq     uint64
	epoch   uint64
	leader  string
	whole   bool      // has every session, and so may lead
	heard   time.Time // of the leader; when it leads, of any other
	clients map[string]*rpc.Client
	copies  map[string]bool // of a leader: nodes that get every write
}

func run(ctx context.Context, n *inprocess.Node) error {
	s := &store{
		n: n, seed: maphash.MakeSeed(), table: map[string]Entry{}, heard: time.Now(),
		whole:   n.Start.First || n.Start.Mutant == Unreplicated, // who comes back has lost everything
		clients: map[string]*rpc.Client{}, copies: map[string]bool{},
	}
	for _, o := range n.Topology.Nodes() {
		s.order = append(s.order, o.ID)
	}
	peers, err := n.Listen(fixtures.PortPeer)
	if err != nil {
		return err
	}
	server := rpc.NewServer()
	if err := server.RegisterName("Peer", &Peer{s, ctx}); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer s.hangUp()
	defer peers.Close()
	wg.Go(func() {
		for {
			c, err := peers.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer context.AfterFunc(ctx, func() { c.Close() })()
				server.ServeConn(c)
			})
		}
	})
	wg.Go(func() { every(ctx, func() { s.elect(ctx) }) })
	for _, id := range s.others() { // apart, so that one that is silent does not keep the others waiting
		wg.Go(func() { every(ctx, func() { s.follow(ctx, id) }) })
	}
	if !s.await(ctx) { // clients come once there is a leader
		return ctx.Err()
	}
	clients, err := n.Listen(fixtures.PortClient)
	if err != nil {
		return err
	}
	return inprocess.Serve(ctx, clients, s)
}

// every does something at each tick.
func every(ctx context.Context, do func()) {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			do()
		case <-ctx.Done():
			return
		}
	}
}

func (s *store) await(ctx context.Context) bool {
	ctx, found := context.WithCancel(ctx)
	defer found()
	ready := false
	every(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if ready = s.whole && s.leader != ""; ready {
			found()
		}
	})
	return ready
}

// elect makes this node lead if nobody does and it is its turn.
func (s *store) elect(ctx context.Context) {
	s.mu.Lock()
	late, epoch := s.leader != s.n.ID && s.whole && time.Since(s.heard) > patient, s.epoch
	s.mu.Unlock()
	if !late || !s.first(ctx) {
		return
	}
	s.mu.Lock()
	if s.epoch != epoch || time.Since(s.heard) <= patient { // somebody leads by now
		s.mu.Unlock()
		return
	}
	epoch++
	s.epoch, s.leader, s.heard = epoch, s.n.ID, time.Now()
	clear(s.copies)
	s.mu.Unlock()
	s.n.Event(history.Event{Kind: history.Elected, Fields: map[string]string{"shard": "0", "term": fmt.Sprint(epoch), "node": s.n.ID}})
}

// first says whether no node before this one can lead.
func (s *store) first(ctx context.Context) bool {
	for _, id := range s.order {
		if id == s.n.ID {
			break
		}
		var whole bool
		if s.call(ctx, id, "Peer.Whole", 0, &whole) == nil && whole {
			return false
		}
	}
	return true
}

// follow keeps a node at the leader's heels; one that is new gets everything.
func (s *store) follow(ctx context.Context, id string) {
	s.mu.Lock()
	leads, fresh := s.leader == s.n.ID, !s.copies[id]
	s.mu.Unlock()
	if !leads {
		return
	}
	var whole bool
	if fresh && s.call(ctx, id, "Peer.Whole", 0, &whole) != nil {
		return // no write waits for a node that does not even answer
	}
	asked := time.Now()
	s.mu.Lock()
	beat := Beat{Epoch: s.epoch, Leader: s.n.ID}
	if s.leader != s.n.ID {
		s.mu.Unlock()
		return
	}
	if !s.copies[id] && s.n.Start.Mutant != Unreplicated {
		beat.Table = maps.Clone(s.table)
		s.copies[id] = true // what is written from now on goes there as well
	}
	s.mu.Unlock()
	var later uint64
	if err := s.call(ctx, id, "Peer.Beat", beat, &later); err != nil {
		s.drop(id)
	} else {
		s.heardOf(beat.Epoch, later, asked)
	}
}

// heardOf renews the lease of a leader, or ends its time.
func (s *store) heardOf(epoch, later uint64, asked time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case later > s.epoch:
		s.epoch, s.leader, s.whole = later, "", false
	case later == epoch && epoch == s.epoch && asked.After(s.heard):
		s.heard = asked
	}
}

func (s *store) drop(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.copies, id)
	if c := s.clients[id]; c != nil {
		c.Close()
		delete(s.clients, id)
	}
}

func (s *store) hangUp() {
	for _, id := range s.others() {
		s.drop(id)
	}
}

func (s *store) others() (ids []string) {
	for _, id := range s.order {
		if id != s.n.ID {
			ids = append(ids, id)
		}
	}
	return ids
}

func (s *store) each(ids []string, do func(id string)) {
	var wg sync.WaitGroup
	for _, id := range ids {
		wg.Go(func() { do(id) })
	}
	wg.Wait()
}

var errUnsent = fmt.Errorf("%w: the node can't be reached", inprocess.ErrNotApplied)

// call asks another node.
func (s *store) call(ctx context.Context, id, method string, args, reply any) error {
	ctx, cancel := context.WithTimeout(ctx, patient)
	defer cancel()
	s.mu.Lock()
	c := s.clients[id]
	s.mu.Unlock()
	if c == nil {
		conn, err := s.n.Dial(ctx, id)
		if err != nil {
			return errUnsent
		}
		fresh := rpc.NewClient(conn)
		s.mu.Lock()
		if c = s.clients[id]; c == nil {
			c, s.clients[id] = fresh, fresh
		} else {
			defer fresh.Close() // somebody was quicker
		}
		s.mu.Unlock()
	}
	done := c.Go(method, args, reply, make(chan *rpc.Call, 1)).Done
	select {
	case r := <-done:
		var said rpc.ServerError
		if r.Error != nil && !errors.As(r.Error, &said) {
			s.drop(id)
		}
		return r.Error
	case <-ctx.Done():
		s.drop(id)
		return ctx.Err()
	}
}

// Ask is what a client wants of the leader.
type Ask struct {
	Key   string
	State []byte
	TTL   time.Duration
	When  inprocess.Condition
	Do    string // read, write, touch, remove
}

// Answer is what it gets.
type Answer struct {
	State      []byte
	Found      bool
	NotApplied string
}

// do answers a client, or lets the leader do it.
func (s *store) do(ctx context.Context, a Ask) (Answer, error) {
	s.mu.Lock()
	leader := s.leader
	s.mu.Unlock()
	var r Answer
	var err error
	switch leader {
	case "":
		return r, fmt.Errorf("%w: nobody leads", inprocess.ErrNotApplied)
	case s.n.ID:
		r, err = s.apply(ctx, a)
	default:
		err = s.call(ctx, leader, "Peer.Do", a, &r)
	}
	if err == nil && r.NotApplied != "" {
		err = fmt.Errorf("%w: %s", inprocess.ErrNotApplied, r.NotApplied)
	}
	return r, err
}

// apply does it here.
func (s *store) apply(ctx context.Context, a Ask) (Answer, error) {
	key := &s.keys[maphash.String(s.seed, a.Key)%uint64(len(s.keys))]
	key.Lock()
	defer key.Unlock()
	s.mu.Lock()
	if s.leader != s.n.ID || time.Since(s.heard) > lease {
		s.mu.Unlock()
		return Answer{NotApplied: "this node does not lead"}, nil
	}
	old := s.table[a.Key]
	r := Answer{State: old.State, Found: old.there()}
	next := Entry{Key: a.Key, State: old.State}
	if a.TTL > 0 {
		next.Expires = time.Now().Add(a.TTL)
	}
	switch a.Do {
	case "write":
		r.Found = a.When == inprocess.Always || old.there() == (a.When == inprocess.IfPresent)
		next.State = a.State
	case "remove":
		next.Gone = true
	}
	if a.Do == "read" || !r.Found {
		s.mu.Unlock()
		return r, nil
	}
	s.seq++
	next.Epoch, next.Seq = s.epoch, s.seq
	s.table[a.Key] = next
	ids := slices.Collect(maps.Keys(s.copies))
	s.mu.Unlock()
	var copied atomic.Int32
	s.each(ids, func(id string) {
		var ok bool
		if s.call(ctx, id, "Peer.Copy", next, &ok) != nil {
			s.drop(id)
		} else if ok {
			copied.Add(1)
		}
	})
	if copied.Load() == 0 && s.n.Start.Mutant != Unreplicated {
		return r, errors.New("no other node has it")
	}
	return r, ctx.Err()
}

// Read implements inprocess.Sessions.
func (s *store) Read(ctx context.Context, key string) ([]byte, bool, error) {
	r, err := s.do(ctx, Ask{Do: "read", Key: key})
	return r.State, r.Found, err
}

// Write implements inprocess.Sessions.
func (s *store) Write(ctx context.Context, key string, state []byte, ttl time.Duration, when inprocess.Condition) (bool, error) {
	r, err := s.do(ctx, Ask{Do: "write", Key: key, State: state, TTL: ttl, When: when})
	return r.Found, err
}

// Touch implements inprocess.Sessions.
func (s *store) Touch(ctx context.Context, key string, ttl time.Duration) ([]byte, bool, error) {
	r, err := s.do(ctx, Ask{Do: "touch", Key: key, TTL: ttl})
	return r.State, r.Found, err
}

// Remove implements inprocess.Sessions.
func (s *store) Remove(ctx context.Context, key string) ([]byte, bool, error) {
	r, err := s.do(ctx, Ask{Do: "remove", Key: key})
	return r.State, r.Found, err
}

// Peer is what nodes ask each other.
type Peer struct {
	s   *store
	ctx context.Context
}

// Beat says who leads; with everything that there is, for a node that is new.
type Beat struct {
	Epoch  uint64
	Leader string
	Table  map[string]Entry // nil: nothing new
}

// Whole says whether the node could lead.
func (p *Peer) Whole(_ int, whole *bool) error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	*whole = p.s.whole
	return nil
}

// Beat is the leader's word; the answer is the latest epoch that the node knows.
func (p *Peer) Beat(b Beat, epoch *uint64) error {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	*epoch = s.epoch
	if b.Epoch < s.epoch {
		return nil
	}
	s.epoch, s.leader, s.heard, *epoch = b.Epoch, b.Leader, time.Now(), b.Epoch
	if b.Table != nil {
		for _, e := range b.Table {
			s.keep(e)
		}
		s.whole = true
	}
	return nil
}

// Copy takes a write of the leader.
func (p *Peer) Copy(e Entry, ok *bool) error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if *ok = e.Epoch >= p.s.epoch; *ok {
		p.s.keep(e)
	}
	return nil
}

// keep takes an entry unless a later one is there. s.mu is held.
func (s *store) keep(e Entry) {
	if old := s.table[e.Key]; old.Epoch < e.Epoch || old.Epoch == e.Epoch && old.Seq < e.Seq {
		s.table[e.Key] = e
	}
}

// Do is what a client of another node asked for.
func (p *Peer) Do(a Ask, r *Answer) (err error) {
	*r, err = p.s.apply(p.ctx, a)
	return err
}

// probe asks a node over a connection whether it is there.
func probe(ctx context.Context, c net.Conn) error {
	client := rpc.NewClient(c)
	defer client.Close()
	var whole bool
	select {
	case r := <-client.Go("Peer.Whole", 0, &whole, make(chan *rpc.Call, 1)).Done:
		return r.Error
	case <-ctx.Done():
		return ctx.Err()
	}
}

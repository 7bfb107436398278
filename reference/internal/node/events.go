package node

import (
	"context"
	"sync"
	"time"
)

// Event is one line of the event stream: something that this node decided.
type Event struct {
	Seq    uint64            `json:"seq"`
	Time   time.Time         `json:"time"`
	Node   string            `json:"node"`
	Region string            `json:"region"`
	Kind   string            `json:"kind"`
	Parts  []string          `json:"parts,omitempty"` // nodes and regions that it names
	Detail string            `json:"detail,omitempty"`
	Fields map[string]string `json:"fields,omitempty"`
}

// events keeps the last ones and hands them to whoever listens.
type events struct {
	node, region string
	mu           sync.Mutex
	ring         []Event
	next         uint64
	changed      chan struct{}
}

const keptEvents = 1024

func newEvents(node, region string) *events {
	return &events{node: node, region: region, next: 1, changed: make(chan struct{})}
}

func (e *events) emit(kind string, parts []string, detail string, fields map[string]string) {
	e.mu.Lock()
	e.ring = append(e.ring, Event{Seq: e.next, Time: time.Now().UTC(), Node: e.node, Region: e.region, Kind: kind, Parts: parts, Detail: detail, Fields: fields})
	e.next++
	if len(e.ring) > keptEvents {
		e.ring = append(e.ring[:0:0], e.ring[len(e.ring)-keptEvents:]...)
	}
	close(e.changed)
	e.changed = make(chan struct{})
	e.mu.Unlock()
}

// after returns the events behind seq, waiting for one if there is none.
func (e *events) after(ctx context.Context, seq uint64) ([]Event, error) {
	for {
		e.mu.Lock()
		var out []Event
		for _, ev := range e.ring {
			if ev.Seq > seq {
				out = append(out, ev)
			}
		}
		ch := e.changed
		e.mu.Unlock()
		if len(out) > 0 {
			return out, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-ch:
		}
	}
}

package cluster

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
)

// Meta is the state of the meta group: the authority over roles, epochs and
// membership. It changes only by committed commands.
type Meta struct {
	m  *Map
	mu sync.RWMutex
	s  State
}

// State is what the meta group agrees on.
type State struct {
	Incarnation uint64            `json:"incarnation"`      // rises with an unsafe recovery (rule 7)
	Epoch       uint64            `json:"epoch"`            // rises with every change of roles and homes
	Primary     string            `json:"primary"`          // the region whose replicas are preferred as leaders
	Chosen      string            `json:"chosen,omitempty"` // the region that an operator made primary: it stays until it is lost
	Generations map[string]uint32 `json:"generations"`      // node -> generation of its Raft identities
	Nonces      map[string]uint64 `json:"nonces"`           // node -> process that was given its generation

	// Moved is the home that an operator gave a shard; Stand is, for a home region
	// that is lost, the one that leads its shards meanwhile. See [Map.Home].
	Moved map[int]string    `json:"moved,omitempty"`
	Stand map[string]string `json:"stand,omitempty"`

	// Placements that differ from the map's own; MetaPlace is the meta group's voters.
	Places map[int][]int          `json:"places,omitempty"` // shard -> nodes
	Placed uint32                 `json:"placed,omitempty"` // rises with every change of placements
	Joins  map[int]map[int]uint32 `json:"joins,omitempty"`  // shard -> node -> the placement that gave it to it
}

// Command changes the state if its conditions hold.
type Command struct {
	Kind string `json:"kind"` // promote, homes, move, rejoin, place
	// Promote: makes Region primary if the epoch is still Epoch.
	// Homes: only what Stand says, under the same condition.
	// Move: makes Region (home again where it is empty) the home of Shards (all
	// where there are none), under the same condition.
	Region string `json:"region,omitempty"`
	Epoch  uint64 `json:"epoch,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Operator: a person chose Region; it is not given back by itself.
	Operator bool `json:"operator,omitempty"`
	// Stand replaces the state's, also with nothing, if Homes is set.
	Homes  bool              `json:"homes,omitempty"`
	Stand  map[string]string `json:"stand,omitempty"`
	Shards []int             `json:"shards,omitempty"`
	// Rejoin: Node lost its disk; its next generation is given out. Nonce tells
	// repeated requests of one process from those of the next.
	Node  string `json:"node,omitempty"`
	Nonce uint64 `json:"nonce,omitempty"`
	// Place: puts shards onto these nodes if Placed is still that.
	Places map[int][]int `json:"places,omitempty"`
	Placed uint32        `json:"placed,omitempty"`

	// From tells the proposer its own commands.
	From uint64 `json:"from,omitempty"`
}

// Outcome of a command.
type Outcome struct {
	Command Command
	Applied bool
	State   State
}

// NewMeta is the state before any command: the first region is primary.
func NewMeta(m *Map) *Meta {
	return &Meta{m: m, s: State{Incarnation: 1, Epoch: 1, Primary: m.Regions[0].Name, Generations: map[string]uint32{}, Nonces: map[string]uint64{}}}
}

// State returns a copy.
func (m *Meta) State() State {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.s.clone()
}

func (s State) clone() State {
	c := s
	c.Generations, c.Nonces = map[string]uint32{}, map[string]uint64{}
	for k, v := range s.Generations {
		c.Generations[k] = v
	}
	for k, v := range s.Nonces {
		c.Nonces[k] = v
	}
	c.Moved, c.Stand = maps.Clone(s.Moved), maps.Clone(s.Stand)
	c.Places, c.Joins = maps.Clone(s.Places), maps.Clone(s.Joins)
	for k, v := range c.Joins {
		c.Joins[k] = maps.Clone(v)
	}
	return c
}

// Apply implements replica.Machine; the value is an Outcome.
func (m *Meta) Apply(_ uint64, data []byte) (any, error) {
	var c Command
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("meta command: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	ok := false
	switch c.Kind {
	case "promote":
		all := c.Operator && m.m.Region(c.Region) != nil && m.m.movesAny(&m.s, c.Region) // an operator's region leads every shard
		if ok = c.Epoch == m.s.Epoch && (c.Region != m.s.Primary || all) && m.m.Region(c.Region) != nil && (!c.Homes || m.m.mayStand(c.Stand)); ok {
			m.s.Primary = c.Region
			m.s.Epoch++
			if m.s.Chosen = ""; c.Operator {
				m.s.Chosen = c.Region
				m.m.moveAll(&m.s, c.Region)
			}
			if c.Homes {
				m.s.Stand = nonEmpty(c.Stand)
			}
		}
	case "homes":
		if ok = c.Epoch == m.s.Epoch && c.Homes && m.m.mayStand(c.Stand) && !maps.Equal(c.Stand, m.s.Stand); ok {
			m.s.Stand = nonEmpty(c.Stand)
			m.s.Epoch++
		}
	case "move":
		ok = m.move(c)
	case "rejoin":
		// A request that is repeated gets no second generation; a process that
		// lost its disk once more is another process.
		_, known := m.m.NodeByID(c.Node)
		if ok = known && c.Nonce != 0 && m.s.Nonces[c.Node] != c.Nonce && m.s.Generations[c.Node] < mostPlaced; ok {
			m.s.Generations[c.Node]++
			m.s.Nonces[c.Node] = c.Nonce
		}
	case "place":
		ok = m.place(c)
	default:
		return nil, fmt.Errorf("meta command: unknown kind %q", c.Kind)
	}
	return Outcome{Command: c, Applied: ok, State: m.s.clone()}, nil
}

// Snapshot implements replica.Machine.
func (m *Meta) Snapshot() []byte {
	b, err := json.Marshal(m.State())
	if err != nil {
		panic(err) // a map of strings and numbers always encodes
	}
	return b
}

// Restore implements replica.Machine.
func (m *Meta) Restore(data []byte) error {
	if len(data) == 0 {
		return nil
	}
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("meta snapshot: %w", err)
	}
	if s.Primary == "" {
		return errors.New("meta snapshot: no primary region")
	}
	if s.Generations == nil {
		s.Generations = map[string]uint32{}
	}
	if s.Nonces == nil {
		s.Nonces = map[string]uint64{}
	}
	m.mu.Lock()
	m.s = s
	m.mu.Unlock()
	return nil
}

// Preference orders a shard's replicas by how much they should lead: those in
// the primary region first, then in the regions' order.
func (m *Map) Preference(shard int, primary string) []int {
	return m.Prefer(m.Replicas(shard), primary)
}

// Prefer orders any replicas so.
func (m *Map) Prefer(replicas []int, primary string) []int {
	out := slices.Clone(replicas)
	rank := func(n int) int {
		r := m.Nodes[n].Region
		if r == primary {
			return -1
		}
		return slices.IndexFunc(m.Regions, func(x Region) bool { return x.Name == r })
	}
	slices.SortStableFunc(out, func(a, b int) int { return rank(a) - rank(b) })
	return out
}

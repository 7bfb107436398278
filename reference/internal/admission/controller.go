package admission

import "sync/atomic"

// Reason why an operation was refused.
type Reason uint8

const (
	// Taken: it was not.
	Taken Reason = iota
	// Shed: its priority is not served now, see [Shedder].
	Shed
	// Full: too much is in flight for its priority, see [Limiter].
	Full
	// ShardFull: too much of its shard is.
	ShardFull

	reasons = 4
)

func (r Reason) String() string {
	return [reasons]string{"", "usage", "in-flight", "shard"}[r]
}

// Text is for the client, behind the word that says what it may do.
func (r Reason) Text() string {
	return [reasons]string{"", "overloaded: operations of this priority are not served now", "overloaded: too many operations are in flight here", "overloaded: too many operations of this shard are in flight here"}[r]
}

// partOf is the share of Config.MaxInFlight that is for one shard, and for one
// connection.
const partOf = 4

// Controller counts what is in flight and says what is taken. It is safe for
// concurrent use; a nil one takes everything. Its bounds may be passed by as
// many operations as one command has, and as there are that ask at one instant.
type Controller struct {
	max      int
	limit    atomic.Int64
	level    atomic.Uint32
	inFlight atomic.Int64
	shards   []atomic.Int64
	alike    bool

	taken   [priorities]atomic.Uint64
	refused [priorities][reasons]atomic.Uint64
}

// NewController counts for so many shards. alike is a mutant: all priorities
// are the same, and none is shed.
func NewController(cfg Config, shards int, alike bool) *Controller {
	c := &Controller{max: cfg.Filled().MaxInFlight, shards: make([]atomic.Int64, shards), alike: alike}
	c.limit.Store(int64(c.max))
	return c
}

// SetLimit and SetLevel say what is in force from now on.
func (c *Controller) SetLimit(n int) { c.limit.Store(int64(n)) }

// SetLevel says what is shed from now on.
func (c *Controller) SetLevel(l Level) { c.level.Store(uint32(l)) }

// Limit, Level and InFlight are for metrics and for those who decide.
func (c *Controller) Limit() int { return int(c.limit.Load()) }

// Level in force.
func (c *Controller) Level() Level { return Level(c.level.Load()) }

// InFlight is the number of operations that were taken and not given back.
func (c *Controller) InFlight() int { return int(c.inFlight.Load()) }

// OfShard is the part of them that is of one shard.
func (c *Controller) OfShard(shard int) int { return int(c.shards[shard].Load()) }

// PerConnection is how many operations one connection may have without an
// answer before it is not read on.
func (c *Controller) PerConnection() int { return max(1, c.max/partOf) }

// Taken and Refused count operations since the start.
func (c *Controller) Taken(p Priority) uint64 { return c.taken[p].Load() }

// Refused counts operations by the reason that they were refused for.
func (c *Controller) Refused(p Priority, why Reason) uint64 { return c.refused[p][why].Load() }

// Sheds says whether n operations that cost nothing but CPU, such as reads of
// a replica that is here, are refused. It counts them if they are.
func (c *Controller) Sheds(p Priority, n int) bool {
	if c == nil || c.alike || !Level(c.level.Load()).sheds(p) {
		return false
	}
	c.refused[p][Shed].Add(uint64(n))
	return true
}

// Refuses says whether n operations of a priority would be refused whatever
// their shards are. It counts them if they would; nothing else is counted.
func (c *Controller) Refuses(p Priority, n int) Reason {
	if c == nil {
		return Taken
	}
	if c.Sheds(p, n) {
		return Shed
	}
	if c.over(p, &c.inFlight, c.limit.Load()) {
		c.refused[p][Full].Add(uint64(n))
		return Full
	}
	return Taken
}

func (c *Controller) over(p Priority, inFlight *atomic.Int64, bound int64) bool {
	if c.alike {
		p = Critical
	}
	return float64(inFlight.Load()) >= p.share()*float64(bound)
}

// Admit takes n operations, all or none; shard tells of which shard the i-th is.
// Each that was taken is given back by [Controller.Release].
func (c *Controller) Admit(p Priority, n int, shard func(i int) int) Reason {
	if c == nil {
		return Taken
	}
	if why := c.Refuses(p, n); why != Taken {
		return why
	}
	bound := int64(max(1, c.max/partOf))
	for i := range n {
		if c.over(p, &c.shards[shard(i)], bound) {
			c.refused[p][ShardFull].Add(uint64(n))
			return ShardFull
		}
	}
	for i := range n {
		c.shards[shard(i)].Add(1)
	}
	c.inFlight.Add(int64(n))
	c.taken[p].Add(uint64(n))
	return Taken
}

// Release gives one operation back.
func (c *Controller) Release(shard int) {
	if c == nil {
		return
	}
	c.shards[shard].Add(-1)
	c.inFlight.Add(-1)
}

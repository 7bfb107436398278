package admission

// Priority of an operation: who is refused first when not all can be served.
type Priority uint8

const (
	// Low: what can wait or be asked elsewhere. Eventual reads (any replica has
	// them), DBSIZE, INFO, COMMAND, CONFIG, and any command on more than
	// [BulkKeys] keys.
	Low Priority = iota
	// Normal: new sessions (SET NX). Who has none yet loses nothing by coming back.
	Normal
	// High: strong reads, and a plain SET, which may be of a session that lives.
	High
	// Critical: what keeps a session that exists alive, or ends it: SET XX, GETEX
	// with an option, EXPIRE, PEXPIRE, GETDEL, DEL. To refuse it loses a session, or lets
	// one live that its owner closed.
	// PING, HELLO, CLUSTER and the like are never refused: it is by them that clients
	// find out who serves.
	Critical

	priorities = 4
)

// BulkKeys is how many keys one command may name before it is bulk work, of low
// priority whatever it does.
const BulkKeys = 64

func (p Priority) String() string {
	return [priorities]string{"low", "normal", "high", "critical"}[p]
}

// share of a bound that a priority may use.
func (p Priority) share() float64 { return [priorities]float64{0.5, 0.75, 0.9, 1}[p] }

// Level is what is refused whatever room there is.
type Level uint8

const (
	// Nothing is refused.
	Nothing Level = iota
	// LowOnly refuses low.
	LowOnly
	// LowAndNormal refuses low and normal. It is the last: strong reads and
	// critical operations are what a node is for, and a read costs
	// little more than its refusal.
	LowAndNormal
)

func (l Level) String() string { return [...]string{"nothing", "low", "normal"}[l] }

// sheds says whether the level refuses a priority.
func (l Level) sheds(p Priority) bool { return Level(p) < l }

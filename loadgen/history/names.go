package history

import "fmt"

var (
	kindNames    = []string{Create: "create", Read: "read", Update: "update", Touch: "touch", Close: "close", ReadBack: "read-back", Emit: "emit", Deliver: "deliver", Resume: "resume"}
	outcomeNames = []string{OK: "ok", Failed: "failed", Unknown: "unknown", Unsent: "unsent"}
	classNames   = []string{Follower: "follower", Witness: "witness", Contested: "contested", Audit: "audit", Eventual: "eventual", Stream: "stream"}
	causeNames   = []string{NoCause: "none", NotApplied: "not-applied", Timeout: "timeout", Broken: "broken", Refused: "refused", ErrorReply: "error-reply", Backpressure: "backpressure"}
)

func (k Kind) String() string    { return nameOf("kind", kindNames, uint8(k)) }
func (o Outcome) String() string { return nameOf("outcome", outcomeNames, uint8(o)) }
func (c Class) String() string   { return nameOf("class", classNames, uint8(c)) }
func (c Cause) String() string   { return nameOf("cause", causeNames, uint8(c)) }

func nameOf(what string, names []string, v uint8) string {
	if int(v) < len(names) && names[v] != "" {
		return names[v]
	}
	return fmt.Sprintf("%s(%d)", what, v)
}

// valueOf is the inverse of nameOf.
func valueOf(what string, names []string, name string) (uint8, error) {
	for v, n := range names {
		if n == name && n != "" {
			return uint8(v), nil
		}
	}
	return 0, fmt.Errorf("%q is no %s", name, what)
}

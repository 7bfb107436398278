package slo

import (
	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/slo/checker"
)

// SessionFates are what became of the sessions that were acknowledged as created.
// Each session counts once, at the first of these in this order that it fits, so
// that they add up to [Measures.Sessions]. That is why Disrupted may be less than
// [Measures.Disrupted]: a session that was closed in the end may have been disrupted before.
type SessionFates struct {
	Lost      int `json:"lost"`       // see Measures.SessionsLost
	Regressed int `json:"regressed"`  // see Measures.Regressed
	BadExpiry int `json:"bad_expiry"` // see Measures.ExpiryViolations
	Unread    int `json:"unread"`     // see Measures.Unread: nothing is claimed of them
	// Closed: a close was acknowledged, or it got no answer and the session was not found afterwards.
	Closed int `json:"closed"`
	// Expired: the last strong read did not find it, and its time was over by then.
	Expired   int `json:"expired"`
	Disrupted int `json:"disrupted"` // kept, but an operation was bad during a fault
	Kept      int `json:"kept"`      // nothing of the above: no client noticed anything
}

// add counts a session. ops are in order of their start.
func (s *SessionFates) add(f *checker.Findings, ops []history.Op, disrupted bool) {
	switch closing, gone := lastSeen(ops); {
	case f.Lost:
		s.Lost++
	case f.Regressed:
		s.Regressed++
	case f.Early || f.Late || f.Resurrected:
		s.BadExpiry++
	case f.Unread:
		s.Unread++
	case f.Closed || closing && gone:
		s.Closed++
	case gone: // and the checker found nothing wrong with it
		s.Expired++
	case disrupted:
		s.Disrupted++
	default:
		s.Kept++
	}
}

// lastSeen says whether a close without an answer may have closed the session, and
// whether the last strong observation did not find it.
func lastSeen(ops []history.Op) (closing, gone bool) {
	for i := range ops {
		o := &ops[i]
		switch {
		case o.Class == history.Eventual || o.Class == history.Stream:
		case o.Kind == history.Close && o.Outcome == history.Unknown:
			closing = true
		case o.Outcome == history.OK:
			gone = o.Absent
		}
	}
	return closing, gone
}

func (s *SessionFates) join(o *SessionFates) {
	s.Lost += o.Lost
	s.Regressed += o.Regressed
	s.BadExpiry += o.BadExpiry
	s.Unread += o.Unread
	s.Closed += o.Closed
	s.Expired += o.Expired
	s.Disrupted += o.Disrupted
	s.Kept += o.Kept
}

// Sum is the number of all sessions.
func (s SessionFates) Sum() int {
	return s.Lost + s.Regressed + s.BadExpiry + s.Unread + s.Closed + s.Expired + s.Disrupted + s.Kept
}

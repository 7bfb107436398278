package gateway

import (
	"github.com/fivenines/fivenines/reference/internal/admission"
	"github.com/fivenines/fivenines/reference/internal/resp"
	"github.com/fivenines/fivenines/reference/internal/session"
)

// priorityOf is how much a command matters that asks so many requests of the
// kind of r.
func priorityOf(r *Request, requests int) admission.Priority {
	switch {
	case requests > admission.BulkKeys, r.Kind == Count, r.Eventual:
		return admission.Low
	case r.Kind != Write:
		return admission.High
	}
	switch op := &r.Op; op.Kind {
	case session.Set:
		switch {
		case op.Flags&session.NX != 0:
			return admission.Normal
		case op.Flags&session.XX == 0:
			return admission.High
		}
	case session.GetEx:
		if op.Flags&session.SameTTL != 0 {
			return admission.High // a read that goes through the log
		}
	}
	return admission.Critical
}

// admit asks whether the requests of one command are taken; if not, the
// command is answered. Callers hold no lock.
func (b *batch) admit(rs []*Request) bool {
	c := b.c
	r := rs[0]
	r.Eventual = c.eventual && r.Kind != Write
	p := priorityOf(r, len(rs))
	if why := c.s.Admission.Admit(p, len(rs), func(i int) int { return rs[i].Shard }); why != admission.Taken {
		b.overloaded(why)
		return false
	}
	for _, r := range rs {
		r.Priority, r.Admitted = p, c.s.Admission != nil
	}
	return true
}

// overloaded answers a command that is not taken. The word is the one of
// everything that was certainly not applied, also for a read: clients back off and
// ask again.
func (b *batch) overloaded(why admission.Reason) {
	b.reply(resp.AppendError(nil, "NOTAPPLIED "+why.Text()))
}

// shed answers a command that asks for little but CPU, if that is not served now.
func (b *batch) shed(p admission.Priority, n int) bool {
	if !b.c.s.Admission.Sheds(p, n) {
		return false
	}
	b.overloaded(admission.Shed)
	return true
}

// bulk answers a command on many keys, if it is not taken, before anything is
// made of them: to refuse must cost less than to serve.
func (b *batch) bulk(keys int) (refused bool) {
	if keys <= admission.BulkKeys {
		return false
	}
	why := b.c.s.Admission.Refuses(admission.Low, keys)
	if why != admission.Taken {
		b.overloaded(why)
	}
	return why != admission.Taken
}

// low is a command of low priority that is answered here.
func low(handle func(b *batch, a [][]byte)) func(b *batch, a [][]byte) {
	return func(b *batch, a [][]byte) {
		if !b.shed(admission.Low, 1) {
			handle(b, a)
		}
	}
}

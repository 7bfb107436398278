package slo

import (
	"slices"
	"time"

	"github.com/fivenines/fivenines/loadgen/history"
)

// minorityLease is how long after the proof a cut-off side may go on
// acknowledging: a lease it held, and what was on its way.
const minorityLease = 2 * time.Second

// measureMinority counts the writes that the witnesses of a cut-off region got
// acknowledged there. Nothing can be said before the cut was proved.
func (t *trial) measureMinority() {
	for _, f := range t.faults {
		region := slices.IndexFunc(t.manifest.Regions, func(r history.RegionInfo) bool { return r.Name == f.isolated })
		if f.isolated == "" || region < 0 || f.proved == nil || len(t.loads) == 0 {
			continue
		}
		f.minority = &Acknowledged{}
		cut := span{*f.proved + minorityLease, t.over(f)}
		t.ops.each(func(o *history.Op) {
			if o.Class != history.Witness || int(o.Region) != region || !o.Kind.IsWrite() || o.Outcome == history.Unsent || o.Start <= cut.from || o.Start >= cut.to {
				return
			}
			f.minority.Attempts++
			// A write that was refused by its condition changed nothing. What it
			// says about the session is judged as a read.
			if o.Outcome == history.OK && !o.Absent && !o.Exists {
				f.minority.Acknowledged++
				for _, at := range t.places.fates.at(place{o.Region, o.Partition}) {
					at.minority++
				}
				t.safety.violations = appendCapped(t.safety.violations, violation{
					check: MinorityAckWrite, session: o.Session, op: *o,
					why: "acknowledged in " + f.isolated + ", which was cut off from its peers at " + atText(*f.proved),
				})
			}
		})
		t.m.MinorityAcks += f.minority.Acknowledged
	}
}

package reports

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fivenines/fivenines/slo"
)

// table is a table of the page; the first cell of a row is its heading.
type table struct {
	Caption, Note string
	Head          []cell
	Rows          [][]cell
}

type cell struct {
	Text  string
	Class string
	Num   bool
}

func heads(texts ...string) []cell {
	var out []cell
	for _, t := range texts {
		c := cell{Text: t}
		if len(t) > 0 && t[0] == '#' {
			c = cell{Text: t[1:], Num: true}
		}
		out = append(out, c)
	}
	return out
}

func num(s string) cell { return cell{Text: orDash(s), Class: "num"} }

func timelineTable(cols []column, v view) table {
	t := table{
		Caption: v.title, Head: heads("Time", "#Offered /s", "#Served /s", "#Bad /s", "#Reads, median", "#Reads, 99th", "#Writes, median", "#Writes, 99th"),
	}
	ms := func(v float64) cell {
		if v <= 0 {
			return num("")
		}
		return num(millisText(v))
	}
	for i := range cols {
		c := &cols[i]
		bad := num(grouped(c.bad))
		if c.bad > 0 {
			bad.Class += " bad"
		}
		t.Rows = append(t.Rows, []cell{{Text: instant(c.from, v)}, num(grouped(c.offered)), num(grouped(c.served)), bad, ms(c.readP50), ms(c.readP99), ms(c.writeP50), ms(c.writeP99)})
	}
	return t
}

func phasesTable(r *slo.Result, ms []milestone, of string) table {
	t := table{Caption: "Milestones after the fault was asked" + of + "."}
	if o := r.Trials[worst(r)].Measures.Failover; o != nil && o.Censored {
		t.Note = "The outage was not over when the load stopped: the last shard named here is the last one that came back."
	}
	t.Head = heads("What happened", "#After the fault", "#After the one before")
	several := len(r.Trials) > 1
	if several {
		t.Head = append(t.Head, cell{Text: "Median of all trials", Num: true})
	}
	for _, m := range ms {
		row := []cell{{Text: m.Text}, num("T" + signed(m.At) + " s"), num(secondsText(m.Took))}
		if several {
			var all []float64
			for i := range r.Trials {
				if at, ok := r.Trials[i].Measures.Phases[m.Key]; ok && finite(at) {
					all = append(all, at)
				}
			}
			slices.Sort(all)
			row = append(row, num(fmt.Sprintf("T%s s (%d trials)", signed(all[(len(all)-1)/2]), len(all))))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// recoveryTables are the faults, and what the service went through, by trial.
func recoveryTables(r *slo.Result) []table {
	faults := table{
		Caption: "Faults. Times to detect, to fail over, to be back and to recover count from the instant the fault was asked for.",
		Head:    heads("Fault", "Trial", "#Asked", "#Proved after", "#Undone", "#Failover", "#Outage of undoing", "#Back by itself", "#Detected after", "Detected by", "#RTO", "#RPO", "Proof"),
	}
	trials := table{
		Caption: "The service, by trial.",
		Head:    heads("Trial", "#Good operations", "#Good seconds", "#Undisturbed sessions", "#Unavailable", "#Load before the fault", "#Failover", "#Restart", "#To detect", "#RTO", "#Detected to recovered", "#RPO"),
	}
	more := 0
	for i := range r.Trials {
		if i == maxTrials {
			more = len(r.Trials) - i
			break
		}
		t := &r.Trials[i]
		for j := range t.Faults {
			if len(faults.Rows) < maxTrials {
				faults.Rows = append(faults.Rows, faultRow(&t.Faults[j], i+1))
			}
		}
		m := &t.Measures
		share := func(v *slo.Value) cell {
			if v == nil {
				return num("")
			}
			return num(percent(v.Value))
		}
		trials.Rows = append(trials.Rows, []cell{
			{Text: fmt.Sprint(i + 1)}, share(m.Availability), share(m.SliceAvail), share(m.SessionAvail), num(durationText(m.Unavailable)), share(m.Capacity),
			num(outageText(m.Failover)), num(comebackText(m.Restart)), num(durationText(m.TimeToDetect)), num(durationText(m.RTO)), num(durationText(m.TimeToRecover)), num(durationText(m.RPO)),
		})
	}
	if more > 0 {
		trials.Note = fmt.Sprintf("The first %d; %d more in result.json.", maxTrials, more)
	}
	var out []table
	most := 400
	if len(faults.Rows) > 3 {
		most = 160 // beside so many others a proof has no room
	}
	for _, r := range faults.Rows {
		proof := &r[len(r)-1]
		if short := clip(proof.Text, most); short != proof.Text {
			proof.Text, faults.Note = short, "Long proofs are cut here; they are whole in result.json."
		}
		proof.Class = "long"
	}
	for _, t := range []table{faults, trials} {
		if len(t.Rows) > 0 {
			out = append(out, t.upright())
		}
	}
	return out
}

// upright turns a table of few long rows, so that it can be read without
// scrolling sideways.
func (t table) upright() table {
	if len(t.Rows) > 3 {
		return t
	}
	out := table{Caption: t.Caption, Note: t.Note, Head: []cell{t.Head[0]}}
	for _, r := range t.Rows {
		out.Head = append(out.Head, cell{Text: r[0].Text})
	}
	for i := 1; i < len(t.Head); i++ {
		row := []cell{{Text: t.Head[i].Text}}
		for _, r := range t.Rows {
			c := cell{Text: orDash(r[i].Text)}
			if strings.HasSuffix(r[i].Class, " bad") {
				c.Class = "bad"
			}
			row = append(row, c)
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

func faultRow(f *slo.FaultRecord, trial int) []cell {
	asked, proved, undone := "", "not proved", "not undone"
	if f.Asked != "" {
		asked = clean(f.Asked)
	} else if finite(f.AskedS) {
		asked = secondsText(f.AskedS)
	}
	if f.ProvedS != nil {
		proved = secondsText(f.ProvedS.Value - f.AskedS)
	}
	if f.UndoneS != nil {
		undone = "T" + signed(f.UndoneS.Value-f.AskedS) + " s"
	}
	proof := clean(f.Evidence)
	if m := f.MinorityWrites; m != nil {
		if proof != "" {
			proof += "; "
		}
		proof += fmt.Sprintf("%s tried by clients that stayed on the cut-off side, %s acknowledged", countOf(m.Attempts, "write", "writes"), grouped(float64(m.Acknowledged)))
	}
	return []cell{
		{Text: faultText(f)}, {Text: fmt.Sprint(trial)}, num(asked), num(proved), num(undone), num(outageText(f.Failover)), num(outageText(f.Undo)), num(comebackText(f.Restart)),
		num(durationText(f.TimeToDetect)), {Text: clean(f.DetectedBy)}, num(durationText(f.RTO)), num(durationText(f.RPO)), {Text: proof},
	}
}

func durationText(v *slo.Value) string {
	if v == nil || !finite(v.Value) {
		return ""
	}
	return secondsText(v.Value)
}

func outageText(o *slo.Outage) string {
	switch {
	case o == nil || !finite(o.Value):
		return ""
	case o.N == 0:
		return "none"
	case o.Censored:
		return "at least " + secondsText(o.Value)
	}
	return secondsText(o.Value)
}

func comebackText(c *slo.Comeback) string {
	switch {
	case c == nil || !finite(c.Value):
		return ""
	case c.Censored:
		return "at least " + secondsText(c.Value)
	}
	return secondsText(c.Value)
}

// tallied is a line of a table of counts.
type tallied struct {
	text, means string
	of          func(*slo.Measures) int
	share       bool // of the sessions
	harmless    bool
	// among says how much there was to look at; a line about nothing is left out.
	among func(*slo.Measures) int
}

func eventualReads(m *slo.Measures) int { return m.EventualReads }
func streamEvents(m *slo.Measures) int  { return m.StreamEvents + m.ReplayGaps }

var fates = []tallied{
	{"acknowledged as created", "at any time in the run", func(m *slo.Measures) int { return m.Sessions }, false, true, nil},
	{"lost", "neither closed nor expired, and strong reads do not find them", func(m *slo.Measures) int { return m.SessionsLost }, true, false, nil},
	{"re-created in silence", "of the lost: there again, but not the one that was", func(m *slo.Measures) int { return m.Recreated }, true, false, nil},
	{"regressed", "found with a state older than the last acknowledged one", func(m *slo.Measures) int { return m.Regressed }, true, false, nil},
	{"disrupted", "kept whole, but an operation of theirs was bad during the fault", func(m *slo.Measures) int { return m.Disrupted }, true, true, nil},
	{"expired early", "gone before their time", func(m *slo.Measures) int { return m.ExpiredEarly }, true, false, nil},
	{"expired late", "lived on after their time and the grace", func(m *slo.Measures) int { return m.ExpiredLate }, true, false, nil},
	{"resurrected", "came back after they had ended", func(m *slo.Measures) int { return m.Resurrected }, true, false, nil},
	{"without an answer", "the read-back got none: nothing is claimed of them", func(m *slo.Measures) int { return m.Unread }, true, false, nil},
}

var promises = []tallied{
	{"lost acknowledged writes", "acknowledged, and no later read shows them", func(m *slo.Measures) int { return m.LostWrites }, false, false, nil},
	{"stale strong reads", "older than what was acknowledged before the read began", func(m *slo.Measures) int { return m.StaleReads }, false, false, nil},
	{"backward strong reads", "older than what an earlier read had returned", func(m *slo.Measures) int { return m.BackwardReads }, false, false, nil},
	{"phantom reads", "a state that nobody wrote, or that was promised not applied", func(m *slo.Measures) int { return m.PhantomReads }, false, false, nil},
	{"corrupt reads", "wrong checksum, or the state of another session", func(m *slo.Measures) int { return m.CorruptReads }, false, false, nil},
	{"writes acknowledged without a quorum", "by a side that was cut off", func(m *slo.Measures) int { return m.MinorityAcks }, false, false, nil},
	{"late writes", "unknown ones that took effect after a later acknowledged one: legal, shown for completeness", func(m *slo.Measures) int { return m.LateWrites }, false, true, nil},
	{"duplicated writes", "a state that came back to stay after a later one had been found", func(m *slo.Measures) int { return m.Duplicated }, false, false, nil},
	{"eventual reads without the client's own writes", "of those that got an answer", func(m *slo.Measures) int { return m.ReadYourWrites }, false, false, eventualReads},
	{"eventual reads that went back in time", "older than an earlier one of the same client", func(m *slo.Measures) int { return m.NonMonotonic }, false, false, eventualReads},
	{"eventual reads answered", "from any replica", func(m *slo.Measures) int { return m.EventualReads }, false, true, eventualReads},
	{"events passed over", "by a stream that was resumed", func(m *slo.Measures) int { return m.ReplayGaps }, false, false, streamEvents},
	{"events out of order", "", func(m *slo.Measures) int { return m.Misordered }, false, false, streamEvents},
	{"events repeated", "over the same connection", func(m *slo.Measures) int { return m.RepeatedEvents }, false, false, streamEvents},
	{"events of another session", "", func(m *slo.Measures) int { return m.CrossSession }, false, false, streamEvents},
	{"events that nobody emitted", "", func(m *slo.Measures) int { return m.PhantomEvents }, false, false, streamEvents},
	{"corrupt events", "", func(m *slo.Measures) int { return m.CorruptEvents }, false, false, streamEvents},
	{"events delivered", "over all streams", func(m *slo.Measures) int { return m.StreamEvents }, false, true, streamEvents},
	{"histories that are not linearizable", "of sessions with several writers and readers", func(m *slo.Measures) int { return m.NotLinearizable }, false, false, nil},
	{"histories not decided", "the checker gave up on them", func(m *slo.Measures) int { return m.Undecided }, false, false, nil},
	{"histories checked", "for linearizability", func(m *slo.Measures) int { return m.Histories }, false, true, nil},
}

// talliedRow sums a count over the trials and names the worst one.
func talliedRow(r *slo.Result, t tallied) []cell {
	sum, most, at, sessions := 0, 0, 0, 0
	for i := range r.Trials {
		n := t.of(&r.Trials[i].Measures)
		sum += n
		sessions += r.Trials[i].Measures.Sessions
		if n > most {
			most, at = n, i+1
		}
	}
	c := num(grouped(float64(sum)))
	if sum > 0 && !t.harmless {
		c.Class += " bad"
	}
	row := []cell{{Text: t.text}, c}
	if t.share {
		row = append(row, num(shareText(sum, sessions)))
	} else {
		row = append(row, num(""))
	}
	if len(r.Trials) > 1 {
		worst := ""
		if most > 0 && !t.harmless {
			worst = fmt.Sprintf("%s in trial %d", grouped(float64(most)), at)
		}
		row = append(row, num(worst))
	}
	return append(row, cell{Text: t.means})
}

func talliedTable(r *slo.Result, caption string, lines []tallied, share bool) *table {
	t := &table{Caption: caption, Head: heads("", "#Count")}
	t.Head[0].Text = "Finding"
	if share {
		t.Head[0].Text = "Sessions"
		t.Head = append(t.Head, cell{Text: "Share", Num: true})
	}
	if len(r.Trials) > 1 {
		t.Head = append(t.Head, cell{Text: "Most", Num: true})
	}
	t.Head = append(t.Head, cell{Text: "Meaning"})
	for _, l := range lines {
		if l.among != nil && !slices.ContainsFunc(r.Trials, func(t slo.Trial) bool { return l.among(&t.Measures) != 0 || l.of(&t.Measures) != 0 }) {
			continue
		}
		row := talliedRow(r, l)
		if !share {
			row = slices.Delete(row, 2, 3)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func fatesTable(r *slo.Result) *table {
	return talliedTable(r, "Sessions, as strong reads found them after the fault"+overTrials(r)+".", fates, true)
}

func consistencyTable(r *slo.Result) *table {
	return talliedTable(r, "What was looked for in the history of every session"+overTrials(r)+".", promises, false)
}

func overTrials(r *slo.Result) string {
	if len(r.Trials) > 1 {
		return fmt.Sprintf(", over all %d trials", len(r.Trials))
	}
	return ""
}

func loadTable(r *slo.Result) table {
	l := &r.Load
	t := table{Caption: "Open loop: operations follow a schedule that does not slow down with the system, and latency counts from the intended start."}
	add := func(name, value string) { t.Rows = append(t.Rows, []cell{{Text: name}, {Text: value}}) }
	add("live sessions", grouped(float64(l.Sessions)))
	add("offered", grouped(l.TargetRPS)+" operations a second")
	served := grouped(l.AchievedRPS) + " operations a second, in time, before the first fault"
	add("served", served)
	add("operations", fmt.Sprintf("%s intended: %s ok, %s failed, %s unknown, %s never sent", grouped(float64(l.Intended)), grouped(float64(l.OK)), grouped(float64(l.Failed)), grouped(float64(l.Unknown)), grouped(float64(l.Unsent))))
	for _, q := range []struct {
		name string
		l    *slo.Latency
	}{{"latency", &l.Latency}, {"latency of reads", l.Read}, {"latency of writes", l.Write}} {
		if q.l != nil {
			add(q.name, fmt.Sprintf("median %s, 99th percentile %s, 99.9th %s, maximum %s", millisText(q.l.P50), millisText(q.l.P99), millisText(q.l.P999), millisText(q.l.Max)))
		}
	}
	add("generator behind schedule", millisText(l.ScheduleLagMSP999)+" (99.9th percentile)")
	add("generator CPU", fixed(l.GeneratorCPU, 2)+" cores")
	return t
}

func eventsTable(r *slo.Result) *table {
	if len(r.Marks) == 0 {
		return nil
	}
	v := view{}
	head := "Since the run began"
	if w := worst(r); len(r.Trials) == 1 && w == 0 && len(r.Trials[0].Faults) > 0 && finite(r.Trials[0].Faults[0].AskedS) {
		v = view{origin: r.Trials[0].Faults[0].AskedS, fromFault: true}
		head = "Since the fault"
	}
	t := &table{Caption: fmt.Sprintf("The %d events of the harness and the platform", len(r.Marks)), Head: heads(head, "Event", "From", "What")}
	if len(r.Marks) > maxMarks {
		t.Caption = fmt.Sprintf("The first %d of %d events of the harness and the platform", maxMarks, len(r.Marks))
		t.Note = "All are in events.jsonl."
	}
	for i := range r.Marks {
		if i == maxMarks {
			break
		}
		m := &r.Marks[i]
		t.Rows = append(t.Rows, []cell{{Text: instant(m.AtS, v)}, {Text: clip(m.Kind, 100)}, {Text: clip(m.Source, 100)}, {Text: clip(m.Text, 500)}})
	}
	return t
}

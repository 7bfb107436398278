package replica

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/fivenines/fivenines/reference/internal/disk"
)

// TestScripts runs testdata/*.txt; each file cites the rule that it defends.
// Commands:
//
//	group voters=N [passive=(I,...)] [delay=D] [mutant=NAME]
//	run D                   advance virtual time; prints what was decided
//	write I k=v             propose at replica I
//	read I k                strong read at replica I
//	isolate I | heal I | pause I | resume I | crash I | restart I | wipe I
//	cut I J | mend I J      one direction
//	transfer I J
//	join J for=I            a new identity J takes the place of I
//	replace I J             one step at the leader, repeated until done
//	compact I
//	status
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		var s *sim
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			out, err := command(&s, d)
			if err != nil {
				return out + "error: " + err.Error() + "\n"
			}
			if s != nil {
				for _, b := range s.broken {
					out += "BROKEN " + b + "\n"
				}
				s.broken = nil
			}
			if out == "" {
				out = "ok\n"
			}
			return out
		})
	})
}

func mutant(name string) Mutants {
	switch name {
	case "ack-before-quorum":
		return Mutants{AckBeforeQuorum: true}
	case "stale-lease":
		return Mutants{StaleLease: true}
	case "no-failover":
		return Mutants{NoFailover: true}
	case "no-fencing":
		return Mutants{NoFencing: true}
	}
	return Mutants{}
}

func command(sp **sim, d *datadriven.TestData) (string, error) {
	s := *sp
	arg := func(i int) string { return d.CmdArgs[i].Key }
	id := func(i int) uint64 {
		n, err := strconv.ParseUint(arg(i), 10, 64)
		if err != nil {
			panic(err)
		}
		return n
	}
	switch d.Cmd {
	case "group":
		voters, passive, delay, mu := 3, []uint64(nil), 10*time.Millisecond, ""
		for _, a := range d.CmdArgs {
			for _, v := range a.Vals {
				switch a.Key {
				case "voters":
					voters, _ = strconv.Atoi(v)
				case "passive":
					n, _ := strconv.ParseUint(v, 10, 64)
					passive = append(passive, n)
				case "delay":
					delay, _ = time.ParseDuration(v)
				case "mutant":
					mu = v
				}
			}
		}
		s = newSim(1, voters, passive, mutant(mu))
		s.delay = func(uint64, uint64) time.Duration { return delay }
		*sp = s
		return "", nil
	case "run":
		dur, err := time.ParseDuration(arg(0))
		if err != nil {
			return "", err
		}
		s.logging.Reset()
		s.run(dur)
		return s.logging.String(), nil
	case "write":
		kv := d.CmdArgs[1].Key + "=" + d.CmdArgs[1].Vals[0]
		s.logging.Reset()
		err := s.write(id(0), kv)
		if errors.Is(err, ErrNotLeader) {
			return "not applied: not the leader\n", nil
		}
		return s.logging.String(), err
	case "read":
		v, ok := s.read(id(0), arg(1))
		if !ok {
			return "refused: no lease\n", nil
		}
		return fmt.Sprintf("%q\n", v), nil
	case "isolate":
		s.isolate(id(0), true)
	case "heal":
		s.isolate(id(0), false)
	case "cut":
		s.cut[[2]uint64{id(0), id(1)}] = true
	case "mend":
		s.cut[[2]uint64{id(0), id(1)}] = false
	case "pause":
		s.pause(id(0))
	case "resume":
		s.logging.Reset()
		s.resume(id(0))
		return s.logging.String(), nil
	case "crash":
		s.crash(id(0))
	case "restart":
		s.restart(id(0))
	case "wipe":
		s.nodes[id(0)].disk = simDisk{}
	case "transfer":
		s.logging.Reset()
		err := s.nodes[id(0)].g.Transfer(s.now, id(1))
		s.drain(s.nodes[id(0)])
		return s.logging.String(), err
	case "join":
		old := s.nodes[id(0)]
		cfg := old.cfg
		cfg.ID, cfg.Joining = id(1), true
		s.add(&simNode{id: id(1), cfg: cfg})
		s.nodes[id(1)].cfg.Restarted = true
	case "replace":
		s.logging.Reset()
		l := s.leader()
		for range 50 {
			done, err := s.nodes[l].g.Replace(id(0), id(1))
			if err != nil {
				return s.logging.String(), err
			}
			s.drain(s.nodes[l])
			if done {
				return s.logging.String() + "done\n", nil
			}
			s.run(500 * time.Millisecond)
		}
		return s.logging.String() + "not done\n", nil
	case "compact":
		n := s.nodes[id(0)]
		snap, to, ok := n.g.Compact(1)
		if !ok {
			return "nothing to compact\n", nil
		}
		n.disk.snap = &disk.Snapshot{Meta: snap.Meta, Data: snap.Data}
		for len(n.disk.ents) > 0 && n.disk.ents[0].GetIndex() <= snap.Meta.GetIndex() {
			n.disk.ents = n.disk.ents[1:]
		}
		_ = to
	case "status":
		return s.status(), nil
	default:
		return "", fmt.Errorf("unknown command %s", d.Cmd)
	}
	return "", nil
}

package admission

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/datadriven"
)

// The verbs: new, with settings; allow, so many times; answered, timed-out, lost,
// so many each; late and back; wait, for some time. Time is the bubble's own: it
// passes at once, and nobody else's does.
func TestBreakers(t *testing.T) {
	var b *Breakers
	var changes []string
	synctest.Test(t, func(t *testing.T) {
		datadriven.RunTest(t, "testdata/breaker.txt", func(t *testing.T, d *datadriven.TestData) string {
			changes = nil
			n, out := number(t, d, "n", 1), ""
			times := func(fn func(peer int)) {
				for range n {
					fn(0)
				}
			}
			switch d.Cmd {
			case "new":
				b = NewBreakers(config(t, d), 2, func(peer int, to State) { changes = append(changes, fmt.Sprintf("peer %d is %v", peer, to)) })
			case "allow":
				yes := 0
				times(func(peer int) {
					if b.Allow(peer) {
						yes++
					}
				})
				out = fmt.Sprintf("%d of %d\n", yes, n)
			case "answered":
				times(b.Answered)
			case "timed-out":
				times(b.TimedOut)
			case "lost":
				times(b.Lost)
			case "late":
				b.Late(0)
			case "back":
				b.Back(0)
			case "wait":
				time.Sleep(span(t, d, "for", 0))
			default:
				d.Fatalf(t, "unknown verb %s", d.Cmd)
			}
			for _, c := range changes {
				out += c + "\n"
			}
			if !strings.Contains(out, "peer") {
				out += fmt.Sprintf("%v, opened %d times\n", b.State(0), b.Opened(0))
			}
			if b.State(1) != Closed {
				out += "and the other one is not closed\n"
			}
			return out
		})
	})
}

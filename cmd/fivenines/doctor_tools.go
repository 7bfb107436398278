package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tool is a program that something else than the default run uses.
type tool struct {
	names   []string // any of them
	version []string // arguments that make it say its version
	costs   string   // what its absence does
}

var tools = []tool{
	{[]string{"go"}, []string{"version"}, "needed to build fivenines and for go test only; https://go.dev/dl has it"},
	{[]string{"redis-server"}, []string{"--version"}, "tests that compare with a real Redis are skipped; apt-get install redis-server"},
	{[]string{"haproxy"}, []string{"-v"}, "docker/images.sh can't make its image; apt-get install haproxy"},
	{[]string{"prometheus"}, []string{"--version"}, "docker/images.sh can't make its image; apt-get install prometheus"},
	{[]string{"promtool"}, []string{"--version"}, "alert rules are not checked by Prometheus itself in tests; apt-get install prometheus"},
	{[]string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}, []string{"--version"}, "tests do not look at reports in a browser; apt-get install chromium"},
}

// toolFindings looks for all of them at once: some take a second to say who they are.
func toolFindings(ctx context.Context) []finding {
	fs := make([]finding, len(tools))
	var all sync.WaitGroup
	for i, t := range tools {
		all.Go(func() { fs[i] = t.look(ctx) })
	}
	all.Wait()
	return fs
}

func (t tool) look(ctx context.Context) finding {
	f := finding{What: t.names[0], Found: "not on the PATH", Advice: t.costs}
	for _, name := range t.names {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, path, t.version...).Output()
		first, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
		if err != nil {
			f.Found = fmt.Sprintf("%s does not run: %v", path, err)
			return f
		}
		f.OK, f.Found = true, first
		return f
	}
	return f
}

// stackPorts are what docker/compose.yaml publishes on 127.0.0.1.
var stackPorts = []int{6379, 6380, 6381, 8404, 9090, 9093}

// ports says whether the stack's ports are free. Runs and up need none of them: they
// have addresses of their own.
func ports() finding {
	f := finding{What: "ports of the stack", OK: true, Advice: "docker/compose.yaml can't publish them until what listens there ends; runs do not need them"}
	var taken []string
	for _, p := range stackPorts {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", p))
		if err == nil {
			_ = l.Close()
			continue
		}
		if errors.Is(err, syscall.EADDRINUSE) {
			taken = append(taken, fmt.Sprint(p))
		}
	}
	f.Found = fmt.Sprintf("127.0.0.1:%d to %d are free", stackPorts[0], stackPorts[len(stackPorts)-1])
	if len(taken) > 0 {
		f.OK, f.Found = false, "taken on 127.0.0.1: "+strings.Join(taken, ", ")
	}
	return f
}

// lateLimit is what a timer may be late, at the median, on a machine that keeps a schedule.
const lateLimit = 5 * time.Millisecond

// timers measures how late this process wakes up: the load's schedule is as exact as that.
func timers() finding {
	f := finding{What: "timers", Advice: "the load can't keep its schedule, and runs are inconclusive; end what else uses the processor, or lower --rps"}
	var late []time.Duration
	tick := time.NewTimer(0)
	<-tick.C
	for range 100 {
		begun := time.Now()
		tick.Reset(time.Millisecond)
		<-tick.C
		late = append(late, time.Since(begun)-time.Millisecond)
	}
	slices.Sort(late)
	median, worst := late[len(late)/2], late[len(late)-1]
	f.OK = median < lateLimit
	f.Found = fmt.Sprintf("%v late at the median, %v at worst, of %d", median.Round(time.Microsecond), worst.Round(time.Microsecond), len(late))
	return f
}

// clock says whether the machine's time of day is kept right. Everything that is
// measured is measured on the monotonic clock, which does not need it.
func clock() finding {
	f := finding{What: "clock", Advice: "measures do not depend on it; times of day in reports, TLS and restore --at do. Start chrony or systemd-timesyncd"}
	source, err := os.ReadFile("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	from := "source unknown"
	if err == nil {
		from = "source " + strings.TrimSpace(string(source))
	}
	var tx unix.Timex
	state, err := unix.Adjtimex(&tx)
	switch {
	case err != nil:
		f.Found = fmt.Sprintf("%s; whether it is synchronised can't be asked: %v", from, err)
	case state == unix.TIME_ERROR || tx.Status&unix.STA_UNSYNC != 0:
		f.Found = from + ", not synchronised"
	default:
		f.OK, f.Found = true, fmt.Sprintf("%s, synchronised, at most %v off", from, time.Duration(tx.Maxerror)*time.Microsecond)
	}
	return f
}

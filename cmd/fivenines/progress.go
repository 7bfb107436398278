package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/scenarios"
)

// terminal says whether somebody looks at w.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// colorful follows https://no-color.org.
func colorful(w io.Writer) bool {
	return terminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// newProgress shows a run while it goes on: live where somebody looks, as
// plain lines elsewhere. done ends the display.
func newProgress(w io.Writer, quiet, plain bool) (p scenarios.Progress, done func()) {
	switch {
	case quiet:
		return nil, func() {}
	case plain || !terminal(w):
		return &plainProgress{w: w}, func() {}
	}
	l := newLive(w)
	return l, l.done
}

// tell is Phase for progress that may be nobody's.
func tell(p scenarios.Progress, ph scenarios.Phase) {
	if p != nil {
		p.Phase(ph)
	}
}

// sampleText is the numbers of one window of load.
func sampleText(s scenarios.Sample) string {
	served := 0.0
	if s.Span > 0 {
		served = float64(s.OK) / s.Span.Seconds()
	}
	text := fmt.Sprintf("%6.0f/s asked  %6.0f/s good  %5d bad  p99 read %s write %s",
		s.Rate, served, s.Bad, short(s.ReadP99), short(s.WriteP99))
	if !s.Steady {
		text += "  not steady"
	}
	if len(s.Faults) > 0 {
		text += "  " + strings.Join(s.Faults, ", ")
	}
	return text
}

// short is a duration of few characters.
func short(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	default:
		return d.Round(10 * time.Millisecond).String()
	}
}

// eventText is an event as a line, or "" if it is not worth one.
func eventText(e history.Event) string {
	switch e.Kind {
	case history.FaultAsked:
		return "fault asked: " + e.Subject
	case history.FaultProved:
		return "fault proved: " + e.Detail
	case history.FaultUnproved:
		return "FAULT NOT PROVED: " + e.Detail
	case history.FaultUndone:
		return "fault undone: " + e.Subject
	case history.Detected, history.Promoted, history.Recovered:
		return fmt.Sprintf("%s: %s %s", e.Source, e.Kind, strings.Join(e.Parts, " "))
	case history.SteadyState:
		if e.Fields["holds"] == "false" {
			return "steady state does not hold " + e.Fields["phase"] + ": " + e.Detail
		}
	case history.Stopped:
		return "stopped: " + e.Detail
	case "process-restarted", "service-failed", "escalated": // of the reference: healing
		return e.Source + ": " + e.Detail
	case scenarios.NodeDied:
		return "node " + e.Subject + " died: " + e.Detail
	}
	return ""
}

// repeats drops what another node said a moment ago.
type repeats struct {
	said map[string]time.Duration
}

func (r *repeats) again(e history.Event) bool {
	if e.Source == "harness" {
		return false
	}
	if r.said == nil {
		r.said = map[string]time.Duration{}
	}
	key := e.Kind + " " + strings.Join(e.Parts, " ")
	at, known := r.said[key]
	r.said[key] = e.At
	return known && e.At-at < 5*time.Second
}

// plainProgress prints lines, at most one sample a second.
type plainProgress struct {
	mu      sync.Mutex
	w       io.Writer
	samples time.Duration // since the last sample that was printed
	repeats repeats
}

func (p *plainProgress) line(at time.Duration, format string, args ...any) {
	stamp := "         "
	if at > 0 {
		stamp = fmt.Sprintf("%8.1fs", at.Seconds())
	}
	fmt.Fprintf(p.w, "%s  %s\n", stamp, fmt.Sprintf(format, args...))
}

func (p *plainProgress) Phase(ph scenarios.Phase) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.line(0, "%s", phaseText(ph))
}

func phaseText(ph scenarios.Phase) string {
	text := ph.Text
	if ph.Lasts > 0 {
		text += fmt.Sprintf(", for %v", ph.Lasts.Round(100*time.Millisecond))
	}
	if ph.Trials > 1 {
		text = fmt.Sprintf("trial %d of %d: %s", ph.Trial, ph.Trials, text)
	}
	return text
}

func (p *plainProgress) Sample(s scenarios.Sample) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.samples += s.Span; p.samples < 950*time.Millisecond {
		return
	}
	p.samples = 0
	p.line(0, "%s", sampleText(s))
}

func (p *plainProgress) Event(e history.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if text := eventText(e); text != "" && !p.repeats.again(e) {
		p.line(e.At, "%s", text)
	}
}

// liveProgress keeps one bar for the phase and prints events above it.
type liveProgress struct {
	bars *mpb.Progress

	mu      sync.Mutex
	bar     *mpb.Bar
	stop    chan struct{} // ends what moves the bar
	moved   sync.WaitGroup
	text    atomic.Value // string: the latest sample
	repeats repeats
}

func newLive(w io.Writer) *liveProgress {
	l := &liveProgress{bars: mpb.New(mpb.WithOutput(w), mpb.WithWidth(40), mpb.WithRefreshRate(200*time.Millisecond))}
	l.text.Store("")
	return l
}

func (l *liveProgress) Phase(ph scenarios.Phase) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endBar()
	l.text.Store("")
	latest := decor.Any(func(decor.Statistics) string { return " " + l.text.Load().(string) })
	name := decor.Name(phaseText(ph) + " ")
	if ph.Lasts <= 0 {
		l.bar = l.bars.New(0, mpb.SpinnerStyle(), mpb.PrependDecorators(name), mpb.AppendDecorators(latest), mpb.BarRemoveOnComplete())
		return
	}
	l.bar = l.bars.New(int64(ph.Lasts), mpb.BarStyle(), mpb.PrependDecorators(name), mpb.AppendDecorators(latest), mpb.BarRemoveOnComplete())
	l.stop = make(chan struct{})
	l.moved.Go(func() { follow(l.bar, ph.Lasts, l.stop) })
}

// follow moves the bar with time.
func follow(bar *mpb.Bar, lasts time.Duration, stop <-chan struct{}) {
	start := time.Now()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
			// It is completed when the phase ends, not when its time is over.
			bar.SetCurrent(min(int64(time.Since(start)), int64(lasts)-1))
		}
	}
}

func (l *liveProgress) endBar() {
	if l.stop != nil {
		close(l.stop)
		l.moved.Wait()
		l.stop = nil
	}
	if l.bar != nil {
		l.bar.Abort(true)
		l.bar.Wait()
		l.bar = nil
	}
}

func (l *liveProgress) Sample(s scenarios.Sample) { l.text.Store(sampleText(s)) }

func (l *liveProgress) Event(e history.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text := eventText(e); text != "" && !l.repeats.again(e) {
		fmt.Fprintf(l.bars, "%8.1fs  %s\n", e.At.Seconds(), text)
	}
}

func (l *liveProgress) done() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endBar()
	l.bars.Wait()
}

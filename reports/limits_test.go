package reports

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/mattn/go-runewidth"
	"github.com/stretchr/testify/assert"

	"github.com/fivenines/fivenines/slo"
)

func TestLongRunsStaySmall(t *testing.T) {
	r := trials()
	for len(r.Trials) < 1000 {
		r.Trials = append(r.Trials, r.Trials[:min(30, 1000-len(r.Trials))]...)
	}
	r.Timeline = timeline(0, 24*3600, 43200, 9)
	long := strings.Repeat("long ", 20_000)
	for i := range 5000 {
		r.Marks = append(r.Marks, slo.Mark{AtS: 43200 + float64(i)/7, Kind: fmt.Sprintf("kind-%d", i%40), Source: long, Text: long})
		r.Problems = append(r.Problems, long)
	}
	for i := range 400 {
		e := slo.Example{Check: "lost-write", Session: uint64(i), Why: long}
		for i := range 400 {
			e.Ops = append(e.Ops, long)
			at := float64(i) / 3
			e.Operations = append(e.Operations, slo.ExampleOp{
				Marked: i%2 == 0, Start: at, End: at + 1, Client: i, Region: long, Node: long, Class: long, Kind: long, Outcome: long, Cause: long, Found: long, Label: long, Skipped: 3,
			})
		}
		r.Examples = append(r.Examples, e)
	}
	assert.Less(t, len(render(t, "html", r)), 5<<20)
	assert.LessOrEqual(t, len(render(t, "md", r)), maxMarkdown)
	assert.Less(t, len(render(t, "xml", r)), 1<<20)
	assert.Less(t, len(render(t, "txt", r)), 100<<10)
}

func TestTerminalFits(t *testing.T) {
	for name, make := range results {
		for _, width := range []int{minWidth, 60, 80, 100, maxWidth} {
			plain, color := terminal(make(), false, width), terminal(make(), true, width)
			assert.Equal(t, plain, ours.ReplaceAllString(color, ""), "%s: colour adds nothing but colour", name)
			for line := range strings.SplitSeq(plain, "\n") {
				assert.LessOrEqual(t, runewidth.StringWidth(line), width, "%s at %d: %q", name, width, line)
			}
			first, _, _ := strings.Cut(strings.TrimPrefix(plain, "!!! "), "\n")
			if make().Mutant == "" {
				assert.Contains(t, strings.ToLower(first), string(make().Verdict), "the verdict comes first")
			}
		}
	}
	assert.Equal(t, defaultWidth, widthOf(io.Discard))
}

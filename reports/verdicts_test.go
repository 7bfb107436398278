package reports

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo"
)

func TestEveryObjectiveIsShown(t *testing.T) {
	for _, v := range []slo.Verdict{slo.Met, slo.Missed, slo.Inconclusive, slo.NotEvaluated} {
		r := met()
		r.Verdict = v
		r.Objectives = nil
		for i, name := range slo.Names() {
			r.Objectives = append(r.Objectives, slo.Objective{Name: name, Unit: "count", Measured: val(float64(7000 + i)), Verdict: v})
		}
		for format := range formats {
			if format == "svg" || format == "comment" && v == slo.NotEvaluated {
				continue // a badge has room for the verdict, a comment for what is declared
			}
			text := render(t, format, r)
			for _, name := range slo.Names() {
				assert.Contains(t, text, name, "%s of a %s result", format, v)
			}
		}
	}
	for _, name := range slo.Names() {
		g := about(name)
		assert.NotEmpty(t, g.asks, "what %s asks", name)
		assert.NotEmpty(t, g.missed, "what to do when %s is missed", name)
	}
	for name := range guides {
		assert.Contains(t, slo.Names(), name, "a guide to nothing")
	}
}

// Only what the result says is met may look met.
func TestNothingElseIsGreen(t *testing.T) {
	green := map[string]string{"html": `class="verdict met"`, "md": "✅", "comment": "✅", "txt": "MET  ", "svg": badgeColor[slo.Met]}
	for format, sign := range green {
		require.Contains(t, render(t, format, met()), sign, "the sign that is looked for, in %s", format)
	}
	for _, v := range []slo.Verdict{"", "passed", slo.NotEvaluated, slo.Inconclusive, slo.Missed} {
		r := met()
		r.Verdict = v
		for i := range r.Objectives {
			r.Objectives[i].Verdict = v
		}
		for format, sign := range green {
			assert.NotContains(t, render(t, format, r), sign, "%s of verdict %q", format, v)
		}
		s := readJUnit(t, render(t, "xml", r))
		assert.Positive(t, s.Failures+s.Errors, "JUnit of verdict %q", v)
	}
	r := met()
	r.Mutant = "no-fsync"
	assert.NotContains(t, render(t, "svg", r), badgeColor[slo.Met], "a mutant's badge")
	for format := range formats {
		if format != "json" && format != "svg" && format != "prom" {
			assert.Contains(t, strings.Join(strings.Fields(ours.ReplaceAllString(render(t, format, r), "")), " "), "not see the defect", "%s of a mutant that was not caught", format)
		}
	}
	for format := range formats {
		assert.Contains(t, render(t, format, mutant()), "ack-before-quorum", "%s of a mutant", format)
	}
}

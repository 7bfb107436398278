package reports

import (
	"encoding/xml"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo"
)

type readSuite struct {
	Tests    int `xml:"tests,attr"`
	Failures int `xml:"failures,attr"`
	Errors   int `xml:"errors,attr"`
	Skipped  int `xml:"skipped,attr"`
	Suites   []struct {
		Failures   int `xml:"failures,attr"`
		Errors     int `xml:"errors,attr"`
		Properties []struct {
			Name  string `xml:"name,attr"`
			Value string `xml:"value,attr"`
		} `xml:"properties>property"`
		Cases []struct {
			Name    string    `xml:"name,attr"`
			Failure *readText `xml:"failure"`
			Error   *readText `xml:"error"`
			Skipped *readText `xml:"skipped"`
		} `xml:"testcase"`
	} `xml:"testsuite"`
}

type readText struct {
	Message string `xml:"message,attr"`
	Text    string `xml:",chardata"`
}

func readJUnit(t testing.TB, text string) readSuite {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(text))
	d.Strict = true
	var s readSuite
	require.NoError(t, d.Decode(&s))
	return s
}

// junitAgrees says whether a JUnit file tells a CI what the result tells.
func junitAgrees(s readSuite, r *slo.Result) error {
	if len(s.Suites) != 1 {
		return fmt.Errorf("%d test suites, not one", len(s.Suites))
	}
	failures, errored, skipped := 0, 0, 0
	byName := map[string]slo.Verdict{}
	for _, c := range s.Suites[0].Cases {
		v := slo.Met
		switch {
		case c.Failure != nil:
			failures++
			v = slo.Missed
		case c.Error != nil:
			errored++
			v = slo.Inconclusive
		case c.Skipped != nil:
			skipped++
			v = slo.NotEvaluated
		}
		byName[c.Name] = v
	}
	for _, o := range r.Objectives {
		if byName[o.Name] != o.Verdict {
			return fmt.Errorf("%s is %s, the test case says %q", o.Name, o.Verdict, byName[o.Name])
		}
	}
	switch n := s.Suites[0]; {
	case s.Tests != len(n.Cases) || s.Failures != failures || s.Errors != errored || s.Skipped != skipped || n.Failures != failures || n.Errors != errored:
		return errors.New("the counts are not those of the test cases")
	case r.Verdict == slo.Missed && failures == 0:
		return errors.New("the verdict is missed and nothing failed")
	case r.Verdict == slo.Inconclusive && errored+failures == 0:
		return errors.New("the verdict is inconclusive and the suite is green")
	case r.Verdict == slo.Met && failures+errored > 0:
		return errors.New("the verdict is met and the suite is not green")
	}
	return nil
}

func TestJUnitSaysWhatTheResultSays(t *testing.T) {
	for name, make := range results {
		r := make()
		text := render(t, "xml", r)
		s := readJUnit(t, text)
		require.NoError(t, junitAgrees(s, r), name)
		props := map[string]string{}
		for _, p := range s.Suites[0].Properties {
			props[p.Name] = p.Value
		}
		assert.Equal(t, strconv.FormatInt(r.Seed, 10), props["seed"], name)
		assert.Equal(t, r.Backend, props["backend"], name)
		assert.Equal(t, r.Target, props["target"], name)
		assert.Equal(t, r.Mutant, props["mutant"], name)
	}
	for _, c := range readJUnit(t, render(t, "xml", missed())).Suites[0].Cases {
		if c.Name == slo.LostWrites {
			require.NotNil(t, c.Failure)
			for _, want := range []string{"target:   0", "measured: 41", "evidence: 41 acknowledged writes are gone", "update to 9: ok", "what to do: "} {
				assert.Contains(t, c.Failure.Text, want)
			}
			assert.Equal(t, "lost-writes missed: target 0, measured 41", c.Failure.Message)
		}
	}
	// No row explains the verdict: the suite fails all the same.
	r := met()
	r.Verdict, r.Objectives, r.Problems = slo.Inconclusive, nil, []string{"no objective is declared"}
	require.NoError(t, junitAgrees(readJUnit(t, render(t, "xml", r)), r))
	r = met()
	r.Verdict = slo.Missed
	require.NoError(t, junitAgrees(readJUnit(t, render(t, "xml", r)), r))
}

// The check above rejects files that lie.
func TestJUnitThatLiesIsCaught(t *testing.T) {
	good := render(t, "xml", missed())
	failure := regexp.MustCompile(`(?s)\s*<failure.*?</failure>`)
	counts := regexp.MustCompile(` failures="\d+"`)
	for name, c := range map[string]struct{ text, want string }{
		"no failure element":   {failure.ReplaceAllString(good, ""), "is missed, the test case says"},
		"one less":             {strings.Replace(good, failure.FindString(good), "", 1), "is missed, the test case says"},
		"no failures counted":  {counts.ReplaceAllString(good, ` failures="0"`), "counts"},
		"inconclusive skipped": {strings.NewReplacer("<error ", "<skipped ", "</error>", "</skipped>").Replace(good), "is inconclusive, the test case says"},
	} {
		require.NotEqual(t, good, c.text, name)
		require.ErrorContains(t, junitAgrees(readJUnit(t, c.text), missed()), c.want, name)
	}
	// Without rows to compare, the verdict alone decides.
	r := missed()
	r.Objectives = nil
	require.ErrorContains(t, junitAgrees(readSuite{Suites: readJUnit(t, render(t, "xml", noFault())).Suites, Tests: 14, Skipped: 11}, r), "nothing failed")
}

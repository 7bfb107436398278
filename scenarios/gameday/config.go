package gameday

import (
	"bytes"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/internal/closest"
	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/scenarios/internal/strict"
)

// Config is a game day file.
type Config struct {
	Name string `yaml:"name"`
	// Timezone of all times in the file: an IANA name; UTC if it says nothing.
	Timezone string `yaml:"timezone"`
	// Seed that draws and the runs' own seeds come from.
	Seed       int64      `yaml:"seed"`
	Schedules  []Schedule `yaml:"schedules"`
	Blackouts  []Blackout `yaml:"blackouts,omitempty"`
	Announce   []Webhook  `yaml:"announce,omitempty"`
	Retention  Retention  `yaml:"retention"`
	Regression Regression `yaml:"regression"`

	location *time.Location
}

// Schedule is what runs whenever a cron expression says so: the scenarios of a
// list, one after the other, or some of them that the seed draws.
type Schedule struct {
	Name string `yaml:"name"`
	// Cron has five fields (minute, hour, day of month, month, day of week), or
	// is @daily, @weekly and so on.
	Cron      string   `yaml:"cron"`
	Scenarios []string `yaml:"scenarios,omitempty"` // names of the catalogue, or files (relative to the game day file)
	Draw      *Draw    `yaml:"draw,omitempty"`
	Run       Flags    `yaml:"run"`

	cron  cron.Schedule
	specs map[string]*scenarios.Spec // by what the file calls them, with the flags applied
}

// Draw is how many of which scenarios are drawn; anew each time, and the same
// ones for the same seed and time.
type Draw struct {
	Count int      `yaml:"count"`
	From  []string `yaml:"from"`
}

// Flags are those of fivenines run. What is left out is the scenario's.
type Flags struct {
	Backend    string            `yaml:"backend"`
	Topology   string            `yaml:"topology,omitempty"`
	RPS        float64           `yaml:"rps,omitempty"`
	Sessions   int               `yaml:"sessions,omitempty"`
	Through    scenarios.Through `yaml:"through,omitempty"`
	Before     fixtures.Duration `yaml:"before,omitempty"`
	After      fixtures.Duration `yaml:"after,omitempty"`
	Trials     int               `yaml:"trials,omitempty"`
	MaxTrials  int               `yaml:"max_trials,omitempty"`
	Seed       int64             `yaml:"seed,omitempty"` // 0: one of its own for each run, from the file's seed
	Objectives map[string]string `yaml:"objectives,omitempty"`
}

func (f *Flags) overrides() scenarios.Overrides {
	return scenarios.Overrides{
		Topology: f.Topology, Rate: f.RPS, Sessions: f.Sessions, Through: f.Through,
		Before: time.Duration(f.Before), After: time.Duration(f.After),
		Trials: f.Trials, MaxTrials: f.MaxTrials, Seed: f.Seed, Objectives: f.Objectives,
	}
}

// Retention says which run folders are kept; 0 sets no bound. Their rows in the
// index stay for good.
type Retention struct {
	Runs int `yaml:"runs"` // the newest so many
	Days int `yaml:"days"` // and no older than so many days
}

// Regression says what is compared with the runs before, and how much worse is worse.
type Regression struct {
	Margin   scenarios.Percent `yaml:"margin"` // of the median of the runs before
	Measures []string          `yaml:"measures,omitempty"`
}

// Webhook is told what happens.
type Webhook struct {
	Kind string `yaml:"kind"` // slack, alertmanager
	// URL: for alertmanager the server's base, to which /api/v2/alerts is added.
	URL string `yaml:"url,omitempty"`
	// URLEnv is the environment variable that holds it, so that a secret stays out of the file.
	URLEnv string   `yaml:"url_env,omitempty"`
	On     []string `yaml:"on"` // start, end, missed, regression
}

// Known is what a file may name beside scenarios.
type Known struct {
	Backends []string
	// Measures that can be compared with those of earlier runs.
	Measures []string
}

// Bounds of a file.
const (
	maxSchedules = 64
	maxADay      = 24 // of one schedule
	maxRuns      = 50 // of one schedule, each time
	maxWebhooks  = 16
	maxBlackouts = 256
)

// Load reads a game day file and every scenario that it names.
func Load(path string, known Known) (*Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the game day file: %w", err)
	}
	return decode(path, b, known)
}

// IsGameDay says whether a file looks like a game day rather than a scenario.
func IsGameDay(data []byte) bool {
	return bytes.HasPrefix(data, []byte("schedules:")) || bytes.Contains(data, []byte("\nschedules:"))
}

func decode(file string, data []byte, known Known) (*Config, error) {
	c := &Config{Timezone: "UTC", Seed: 1, Regression: Regression{Margin: 20}}
	x, err := strict.Decode(file, data, c)
	if err != nil {
		return nil, err
	}
	v := &validator{file: file, x: x, known: known}
	v.config(c)
	if len(v.errs) > 0 {
		return nil, v.errs
	}
	return c, nil
}

// Location is the time zone of the file.
func (c *Config) Location() *time.Location { return c.location }

type validator struct {
	file  string
	x     strict.Index
	known Known
	errs  strict.Errors
}

func (v *validator) fail(field, format string, args ...any) {
	msg := strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", "; ")
	v.errs = append(v.errs, &strict.Error{File: v.file, Line: v.x.Line(field), Field: field, Msg: msg})
}

func (v *validator) name(field, s string) {
	plain := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' }
	if s == "" || len(s) > 64 || strings.ContainsFunc(s, func(r rune) bool { return !plain(r) }) || s[0] == '-' {
		v.fail(field, "%q is not a name of lower-case letters, digits and hyphens (at most 64)", s)
	}
}

func (v *validator) count(field string, n, lo, hi int) {
	if n < lo || n > hi {
		v.fail(field, "%d is not from %d to %d", n, lo, hi)
	}
}

// oneOf says what was meant where a word is none of those allowed.
func (v *validator) oneOf(field, what, word string, allowed []string) {
	for _, a := range allowed {
		if a == word {
			return
		}
	}
	v.fail(field, "no %s is called %q; %s", what, word, closest.Meant(word, allowed))
}

func (v *validator) config(c *Config) {
	v.name("name", c.Name)
	var err error
	if c.location, err = time.LoadLocation(c.Timezone); err != nil || c.Timezone == "" || c.Timezone == "Local" {
		c.location = time.UTC
		v.fail("timezone", "%q is not a time zone such as UTC or Europe/Berlin", c.Timezone)
	}
	if c.Seed < 1 {
		v.fail("seed", "%d is not more than 0", c.Seed)
	}
	if len(c.Schedules) == 0 || len(c.Schedules) > maxSchedules {
		v.fail("schedules", "there are %d, a game day has from 1 to %d", len(c.Schedules), maxSchedules)
	}
	names := map[string]bool{}
	for i := range c.Schedules {
		s, field := &c.Schedules[i], fmt.Sprintf("schedules[%d]", i)
		v.name(field+".name", s.Name)
		if names[s.Name] {
			v.fail(field+".name", "another schedule is called %q too", s.Name)
		}
		names[s.Name] = true
		v.schedule(field, s)
	}
	v.count("blackouts", len(c.Blackouts), 0, maxBlackouts)
	for i := range c.Blackouts {
		v.blackout(fmt.Sprintf("blackouts[%d]", i), &c.Blackouts[i])
	}
	v.count("announce", len(c.Announce), 0, maxWebhooks)
	for i := range c.Announce {
		v.webhook(fmt.Sprintf("announce[%d]", i), &c.Announce[i])
	}
	v.count("retention.runs", c.Retention.Runs, 0, 1_000_000)
	v.count("retention.days", c.Retention.Days, 0, 36_500)
	if c.Regression.Margin <= 0 {
		v.fail("regression.margin", "%v is not more than 0 %%", c.Regression.Margin)
	}
	for i, m := range c.Regression.Measures {
		v.oneOf(fmt.Sprintf("regression.measures[%d]", i), "measure", m, v.known.Measures)
	}
}

// parser knows the five fields and @daily; its own time zones are not used,
// since the file has one.
var parser = cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor)

func (v *validator) cron(field, text string) cron.Schedule {
	if strings.Contains(text, "TZ=") {
		v.fail(field, "%q names a time zone; set timezone, which is that of all times in the file", text)
		return nil
	}
	s, err := parser.Parse(text)
	if err != nil {
		v.fail(field, "%q is not a cron expression such as \"30 2 * * mon-fri\" or @daily (%v)", text, err)
		return nil
	}
	spec, ok := s.(*cron.SpecSchedule)
	if !ok {
		v.fail(field, "%q counts from when the program was started; name times, such as \"0 */6 * * *\"", text)
		return nil
	}
	if n := bits(spec.Minute, 60) * bits(spec.Hour, 24); n > maxADay {
		v.fail(field, "%q comes %d times a day, at most %d are allowed", text, n, maxADay)
		return nil
	}
	spec.Location = time.UTC // of the wall clock, see Plan
	if s.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		v.fail(field, "%q never comes", text)
		return nil
	}
	return s
}

func bits(set uint64, n int) int {
	count := 0
	for i := range n {
		count += int(set >> i & 1)
	}
	return count
}

func (v *validator) schedule(field string, s *Schedule) {
	s.cron = v.cron(field+".cron", s.Cron)
	v.flags(field+".run", &s.Run)
	list, at := s.Scenarios, field+".scenarios"
	switch {
	case s.Draw != nil && len(s.Scenarios) > 0:
		v.fail(field+".draw", "scenarios and draw can't both say what runs")
		return
	case s.Draw != nil:
		if len(s.Draw.From) == 0 {
			for _, e := range scenarios.Catalogue() {
				s.Draw.From = append(s.Draw.From, e.Name)
			}
		}
		list, at = s.Draw.From, field+".draw.from"
		if s.Draw.Count < 1 || s.Draw.Count > len(list) {
			v.fail(field+".draw.count", "%d is not from 1 to the %d scenarios to draw from", s.Draw.Count, len(list))
		}
	case len(list) == 0:
		v.fail(field, "needs scenarios, or a draw such as {count: 2, from: [node-crash, region-loss, power-loss]}")
		return
	}
	v.count(at, len(list), 1, maxRuns)
	s.specs = map[string]*scenarios.Spec{}
	for i, ref := range list {
		one := fmt.Sprintf("%s[%d]", at, i)
		if s.Draw != nil && s.specs[ref] != nil {
			v.fail(one, "%s is there twice", ref)
			continue
		}
		if spec := v.spec(one, ref, &s.Run); spec != nil {
			s.specs[ref] = spec
		}
	}
}

// spec finds a scenario and tries the flags on it, so that a mistake shows when
// the file is read and not at night.
func (v *validator) spec(field, ref string, f *Flags) *scenarios.Spec {
	var spec *scenarios.Spec
	var err error
	if strings.ContainsRune(ref, '/') || strings.HasSuffix(ref, ".yaml") || strings.HasSuffix(ref, ".yml") {
		spec, err = scenarios.Load(v.path(ref))
	} else {
		spec, err = scenarios.Named(ref)
	}
	if err == nil {
		o := f.overrides()
		if strings.ContainsRune(o.Topology, '/') || strings.HasSuffix(o.Topology, ".yaml") || strings.HasSuffix(o.Topology, ".yml") {
			o.Topology = v.path(o.Topology)
		}
		spec, err = spec.With(o)
	}
	if err == nil {
		err = spec.Validate("")
	}
	if err != nil {
		v.fail(field, "%s: %v", ref, err)
		return nil
	}
	return spec
}

// path of a file that the game day file names.
func (v *validator) path(ref string) string {
	if filepath.IsAbs(ref) {
		return ref
	}
	return filepath.Join(filepath.Dir(v.file), ref)
}

func (v *validator) flags(field string, f *Flags) {
	if f.Backend == "" {
		f.Backend = "process"
	}
	v.oneOf(field+".backend", "backend", f.Backend, v.known.Backends)
	// The scenario's own bounds are checked with each scenario; here is only what With takes for "not given".
	for _, n := range []struct {
		name string
		bad  bool
	}{{"rps", f.RPS < 0}, {"sessions", f.Sessions < 0}, {"before", f.Before < 0}, {"after", f.After < 0}, {"trials", f.Trials < 0}, {"max_trials", f.MaxTrials < 0}, {"seed", f.Seed < 0}} {
		if n.bad {
			v.fail(field+"."+n.name, "must be more than 0")
		}
	}
}

// Kinds of webhooks and of what they may be told.
var (
	kinds  = []string{"slack", "alertmanager"}
	events = []string{Started, Ended, Missed, Regressed}
)

func (v *validator) webhook(field string, w *Webhook) {
	v.oneOf(field+".kind", "kind of webhook", w.Kind, kinds)
	switch {
	case w.URL != "" && w.URLEnv != "":
		v.fail(field+".url_env", "url and url_env can't both say where")
	case w.URL == "" && w.URLEnv == "":
		v.fail(field, "needs url, or url_env: the environment variable that holds it")
	case w.URL != "":
		if err := checkURL(w.URL); err != nil {
			v.fail(field+".url", "%v", err)
		}
	case strings.ContainsAny(w.URLEnv, "=/: "):
		v.fail(field+".url_env", "is not the name of an environment variable") // perhaps the secret itself: it is not repeated
	}
	if len(w.On) == 0 {
		w.On = []string{Missed, Regressed}
	}
	for i, e := range w.On {
		v.oneOf(fmt.Sprintf("%s.on[%d]", field, i), "event", e, events)
	}
}

// checkURL does not repeat the URL, which may be a secret.
func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("is not an http or https URL")
	}
	return nil
}

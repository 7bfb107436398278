package scenarios

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/scenarios/internal/strict"
	"github.com/fivenines/fivenines/slo"
)

//go:embed objectives.yaml
var rulesYAML []byte

// Rules are what every scenario is judged by: no scenario can make its own
// verdict easier with them.
type Rules struct {
	Deadline            fixtures.Duration `yaml:"deadline"`
	Hold                fixtures.Duration `yaml:"hold"`
	ExpiryGrace         fixtures.Duration `yaml:"expiry_grace"`
	LinearizableTimeout fixtures.Duration `yaml:"linearizable_timeout"`
	Valid               Valid             `yaml:"valid"`
	Errors              Errors            `yaml:"errors"`
	// Defaults are the platform's objectives, for scenarios to declare.
	Defaults map[string]string `yaml:"defaults"`
}

// Valid bounds outside of which nothing is concluded.
type Valid struct {
	MaxLagP999  fixtures.Duration `yaml:"max_lag_p999"`
	MinAchieved Percent           `yaml:"min_achieved"`
	MaxUnsent   Percent           `yaml:"max_unsent"`
}

// Errors are the probabilities with which the verdict on an objective over
// trials, such as p90 < 5 s, may be wrong.
type Errors struct {
	Met    Percent `yaml:"met"`    // met although it does not hold; 0: 5 %
	Missed Percent `yaml:"missed"` // missed although it does; 0: 5 %
}

// DefaultRules are the ones that come with fivenines.
func DefaultRules() *Rules { return defaultRules() }

var defaultRules = sync.OnceValue(func() *Rules {
	r, err := decodeRules("objectives.yaml", rulesYAML)
	if err != nil {
		panic(err) // the embedded file is covered by a test
	}
	return r
})

// LoadRules reads the rules that a run was judged by.
func LoadRules(path string) (*Rules, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return decodeRules(path, b)
}

func decodeRules(file string, data []byte) (*Rules, error) {
	r := &Rules{}
	x, err := strict.Decode(file, data, r)
	if err != nil {
		return nil, err
	}
	bad := func(field, format string, args ...any) error {
		return &strict.Error{File: file, Line: x.Line(field), Field: field, Msg: fmt.Sprintf(format, args...)}
	}
	if r.Deadline <= 0 {
		return nil, bad("deadline", "must be more than 0")
	}
	if r.Hold <= 0 {
		return nil, bad("hold", "must be more than 0")
	}
	for field, p := range map[string]Percent{"errors.met": r.Errors.Met, "errors.missed": r.Errors.Missed} {
		if !(p >= 0 && p < 50) {
			return nil, bad(field, "%v is not below 50 %%", p)
		}
	}
	for name, expr := range r.Defaults {
		if _, err := slo.ParseTarget(name, expr); err != nil {
			return nil, bad("defaults."+name, "%v", err)
		}
	}
	return r, nil
}

func (r *Rules) write(path string) error {
	b, err := strict.Encode(r)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Clean(path), b, 0o644)
}

// objective is what a scenario's objective says, with the rules' own where it
// says default.
func (r *Rules) objective(name, expr string) (string, error) {
	if expr != defaultWord {
		return expr, nil
	}
	if d, ok := r.Defaults[name]; ok {
		return d, nil
	}
	return "", fmt.Errorf("the objectives file has no default for %s", name)
}

const defaultWord = "default"

// Config joins the rules with what the scenario declares.
func (r *Rules) Config(s *Spec) slo.Config {
	c := slo.Config{
		Deadline:            time.Duration(r.Deadline),
		Hold:                time.Duration(r.Hold),
		ExpiryGrace:         time.Duration(r.ExpiryGrace),
		LinearizableTimeout: time.Duration(r.LinearizableTimeout),
		Steady: slo.Steady{
			Window:   time.Duration(s.Steady.Window),
			Success:  s.Steady.Success.Share(),
			ReadP99:  time.Duration(s.Steady.ReadP99),
			WriteP99: time.Duration(s.Steady.WriteP99),
		},
		Valid: slo.Validity{
			MaxLagP999:  time.Duration(r.Valid.MaxLagP999),
			MinAchieved: r.Valid.MinAchieved.Share(),
			MaxUnsent:   r.Valid.MaxUnsent.Share(),
		},
		Alpha:      r.Errors.Met.Share(),
		Beta:       r.Errors.Missed.Share(),
		Sequential: s.MaxTrials > s.Trials,
	}
	for _, name := range slo.Names() {
		expr, declared := s.Objectives[name]
		if !declared {
			continue
		}
		expr, err := r.objective(name, expr)
		if err != nil {
			panic(fmt.Sprintf("scenario %s was not validated: %v", s.Name, err))
		}
		t, err := slo.ParseTarget(name, expr)
		if err != nil {
			panic(fmt.Sprintf("scenario %s was not validated: %v", s.Name, err))
		}
		c.Objectives = append(c.Objectives, t)
	}
	return c
}

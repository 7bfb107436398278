package projection

// ResultSchema of a Projection as JSON.
const ResultSchema = "fivenines/projection/v1"

// Verdict of an availability objective.
type Verdict string

const (
	Met          Verdict = "met"
	Missed       Verdict = "missed"
	Inconclusive Verdict = "inconclusive"
)

// Projection is the downtime of a year, as far as it can be told. Durations are seconds.
type Projection struct {
	Schema     string  `json:"schema"`
	Model      string  `json:"model"` // the rates file's name
	Seed       uint64  `json:"seed"`
	Years      int     `json:"years"`      // simulated
	Confidence float64 `json:"confidence"` // of every interval

	Objective float64 `json:"availability_objective"` // 0.99999
	Required  float64 `json:"required_probability"`   // of a year inside its budget
	Verdict   Verdict `json:"verdict"`
	Why       string  `json:"why"`

	Availability Estimate   `json:"availability"` // expected
	Mean         Estimate   `json:"mean_downtime_s"`
	Quantiles    []Quantile `json:"downtime_quantiles"`
	Histogram    []Bin      `json:"histogram"` // of a year's downtime, in bins of equal width on a logarithmic scale
	CDF          []Point    `json:"cdf"`
	Levels       []Level    `json:"levels"`

	Classes     []ClassShare  `json:"classes"`     // and overlaps, the largest share first
	Sensitivity []Sensitivity `json:"sensitivity"` // the class to fix first stands first
	Width       Width         `json:"interval_width"`
	More        *MoreTrials   `json:"more_trials,omitempty"` // where the verdict is open

	NotMeasured []string        `json:"not_measured,omitempty"` // classes without trials or assumption
	Assumptions []string        `json:"assumptions,omitempty"`  // downtimes that no trial measured
	Notes       []string        `json:"notes,omitempty"`        // rules that were applied, and what was left aside
	LeavesOut   []string        `json:"leaves_out,omitempty"`   // what the model does not cover
	Rates       []ClassEvidence `json:"rates"`                  // the model's classes with their sources
	Topology    Topology        `json:"topology"`
}

// Estimate is a value with its interval.
type Estimate struct {
	Value float64 `json:"value"`
	Lower float64 `json:"lower"`
	Upper float64 `json:"upper"`
}

// Quantile is the downtime that a share of the years does not exceed.
type Quantile struct {
	Share   float64 `json:"share"`
	Seconds float64 `json:"seconds"`
}

// Bin is the share of years with a downtime from From up to To. The years without any are
// a bin from 0 to 0.
type Bin struct {
	From  float64 `json:"from_s"`
	To    float64 `json:"to_s"`
	Share float64 `json:"share"`
}

// Point of the cumulative distribution: the share of years with at most this downtime.
type Point struct {
	Seconds float64 `json:"seconds"`
	Share   float64 `json:"share"`
}

// Level is an availability, the downtime that it allows a year, and the
// probability that a year stays inside.
type Level struct {
	Availability float64  `json:"availability"`
	BudgetS      float64  `json:"budget_s"`
	Probability  Estimate `json:"probability"`
}

// ClassShare is what one class of faults brings a year.
type ClassShare struct {
	Name     string  `json:"name"`
	Class    string  `json:"class"` // of the rates file; empty for overlaps
	Basis    string  `json:"basis"` // trials, assumption, not measured; empty for overlaps
	Scenario string  `json:"scenario,omitempty"`
	Trials   int     `json:"trials"`
	Censored int     `json:"censored"`   // outages that were not seen to end
	Events   float64 `json:"events"`     // a year
	EventS   float64 `json:"event_s"`    // mean downtime of one, as the trials have it
	MeanS    float64 `json:"mean_s"`     // downtime a year
	UndoS    float64 `json:"undo_s"`     // of which from giving the parts back
	Share    float64 `json:"share"`      // of the mean downtime
	OfBudget float64 `json:"budget_eat"` // MeanS over the objective's budget
}

// Sensitivity is what a better class would buy: the probability that a year stays inside
// the objective's budget, from the same years otherwise.
type Sensitivity struct {
	Class        string  `json:"class"`
	Base         float64 `json:"probability"`
	HalfDuration float64 `json:"half_duration"` // each of its outages half as long
	HalfRate     float64 `json:"half_rate"`     // half as many of its events
	HalfRepair   float64 `json:"half_repair"`   // parts back in half the time
	// Seconds of the mean yearly downtime that each would save.
	SavedDurationS float64 `json:"saved_half_duration_s"`
	SavedRateS     float64 `json:"saved_half_rate_s"`
	SavedRepairS   float64 `json:"saved_half_repair_s"`
}

// Best is the change that buys most, by name, and its probability; where none
// changes the probability, the one that saves most downtime.
func (s *Sensitivity) Best() (what string, probability, savedS float64) {
	what, probability, savedS = "half the duration", s.HalfDuration, s.SavedDurationS
	for _, c := range []struct {
		what     string
		p, saved float64
	}{{"half the rate", s.HalfRate, s.SavedRateS}, {"half the time to repair", s.HalfRepair, s.SavedRepairS}} {
		if c.p > probability || c.p == probability && c.saved > savedS {
			what, probability, savedS = c.what, c.p, c.saved
		}
	}
	return what, probability, savedS
}

// Width says where the interval of the objective's probability comes from: its width if
// only the trials, or only the rates, were uncertain.
type Width struct {
	Trials float64 `json:"trials"`
	Rates  float64 `json:"rates"`
}

// MoreTrials is what would settle an open verdict if further trials looked like
// those there are.
type MoreTrials struct {
	// Factor is how many times the trials are needed; 0 if no number of them settles it.
	Factor  float64        `json:"factor"`
	Further map[string]int `json:"further,omitempty"` // trials, by scenario
	Because string         `json:"because"`
}

// ClassEvidence is a class of the model as the report prints it.
type ClassEvidence struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Maintenance bool     `json:"maintenance,omitempty"`
	Parts       string   `json:"parts"`
	Count       int      `json:"count"` // of parts
	Rate        float64  `json:"rate_per_part_year"`
	RateLow     float64  `json:"rate_low"` // 90 % range
	RateHigh    float64  `json:"rate_high"`
	Repair      string   `json:"repair"`
	Sources     []Source `json:"sources"`
}

// Level of the availability, or nil.
func (p *Projection) Level(availability float64) *Level {
	for i := range p.Levels {
		if p.Levels[i].Availability == availability {
			return &p.Levels[i]
		}
	}
	return nil
}

// BudgetS is the downtime a year, in seconds, that an availability allows.
func BudgetS(availability float64) float64 { return (1 - availability) * Year }

package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/slo"
	"github.com/fivenines/fivenines/slo/budget"
	"github.com/fivenines/fivenines/slo/openslo"
)

func init() { commands = append(commands, sloCommand) }

func sloCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "slo",
		Short: "Error budgets, burn rates, Prometheus alert rules, OpenSLO",
		Long: `What an SRE does with an objective: the error budget that it leaves and how fast
it burns, alerts on the burn rate as The Site Reliability Workbook has them
(chapter 5), and OpenSLO v1 documents.`,
		Example: `  fivenines slo budget runs/20260102T150405Z-region-loss
  fivenines slo rules --target 99.9% --good 'http_requests_total{code!~"5.."}' --total http_requests_total
  fivenines slo openslo region-loss > region-loss.openslo.yaml`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError("%s", strings.Replace(unknownCommand(cmd, args[0]), "fivenines --help", "fivenines slo --help", 1))
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(sloRulesCommand(), sloOpenSLOCommand(), sloBudgetCommand())
	return cmd
}

// queryFlags are an indicator on the command line.
type queryFlags struct{ budget.Indicator }

func (q *queryFlags) add(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&q.Good, "good", "", "PromQL that counts good events: a counter, or a rate over [{{.window}}]")
	fl.StringVar(&q.Bad, "bad", "", "PromQL that counts bad events, instead of --good")
	fl.StringVar(&q.Total, "total", "", "PromQL that counts all events")
	fl.StringVar(&q.ErrorRatio, "error-ratio", "", "PromQL of the share that is bad, instead of counts")
}

func (q *queryFlags) given() bool { return q.Indicator != budget.Indicator{} }

// indicator puts rates around bare counters.
func (q *queryFlags) indicator() (budget.Indicator, error) {
	i := q.Indicator
	for flag, query := range map[string]*string{"good": &i.Good, "bad": &i.Bad, "total": &i.Total} {
		if *query == "" {
			continue
		}
		rated, err := budget.Counters(*query)
		if err != nil {
			return i, usageError("--%s: %v", flag, err)
		}
		*query = rated
	}
	if err := i.Validate(); err != nil {
		var f *budget.FieldError
		if errors.As(err, &f) {
			return i, usageError("--%s: %s", strings.ReplaceAll(f.Field, "_", "-"), f.Msg)
		}
		return i, usageError("%v", err)
	}
	return i, nil
}

// objectiveFlags are an objective on the command line.
type objectiveFlags struct{ target, period string }

func (o *objectiveFlags) add(cmd *cobra.Command, target string) {
	cmd.Flags().StringVar(&o.target, "target", "", "share of good events, such as 99.9% (default "+target+")")
	cmd.Flags().StringVar(&o.period, "period", "", "over which the target holds, such as 28d (default 30d)")
}

// objective is the flags' over the one given.
func (o *objectiveFlags) objective(d budget.Objective) (budget.Objective, error) {
	var err error
	if o.target != "" {
		if d.Target, err = budget.ParseShare(o.target); err != nil {
			return d, usageError("--target: %v", err)
		}
	}
	if o.period != "" {
		if d.Period, err = budget.ParseDuration(o.period); err != nil {
			return d, usageError("--period: %v", err)
		}
	}
	if err := d.Validate(); err != nil {
		return d, usageError("--%v", err)
	}
	return d, nil
}

// platformObjective is the availability that the platform promises.
func platformObjective() (budget.Objective, error) {
	return availabilityOf(scenarios.DefaultRules().Defaults[slo.Availability])
}

// availabilityOf is the objective of a text such as ">= 99.9 %".
func availabilityOf(text string) (budget.Objective, error) {
	target, err := budget.ParseShare(strings.TrimPrefix(strings.TrimSpace(text), ">="))
	return budget.Objective{Target: target, Period: budget.DefaultPeriod}, err
}

func sloRulesCommand() *cobra.Command {
	var (
		q                           queryFlags
		o                           objectiveFlags
		name, service, openSLO, out string
	)
	cmd := &cobra.Command{
		Use:   "rules [FILE]",
		Short: "Print Prometheus rules: error ratios, burn-rate alerts, budget left",
		Long: `Makes recording rules and multi-window, multi-burn-rate alerts (2 % of the budget in
1 h, 5 % in 6 h, 10 % in 3 d, with a short window of a twelfth each) of objectives
in a FILE (such as docker/prometheus/slo.yml), in OpenSLO documents, or of queries.
A query is a counter, or has {{.window}} where the rules put their windows.
Check the result with promtool check rules.`,
		Example: `  fivenines slo rules docker/prometheus/slo.yml --out docker/prometheus/rules/fivenines-slo.yml
  fivenines slo rules --openslo shop.openslo.yaml
  fivenines slo rules --target 99.9% --period 30d --name checkout --service shop \
    --bad 'sum(rate(http_requests_total{code=~"5.."}[{{.window}}]))' \
    --total 'sum(rate(http_requests_total[{{.window}}]))'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			slos, err := func() ([]budget.SLO, error) {
				switch n := len(args); {
				case n+howMany(openSLO != "", q.given()) != 1:
					return nil, usageError("rules needs one of: a FILE of objectives, --openslo FILE, or --total with --good or --bad")
				case !q.given() && (o.target != "" || o.period != "" || cmd.Flags().Changed("name")):
					return nil, usageError("--target, --period and --name go with queries; a file has its own")
				case n == 1:
					f, err := budget.Load(args[0])
					if err != nil {
						return nil, &exitError{exitUsage, err}
					}
					return f.SLOs, nil
				case openSLO != "":
					return openSLOs(cmd, openSLO, service)
				}
				return q.slos(&o, name, cmp.Or(service, budget.DefaultService))
			}()
			if err != nil {
				return err
			}
			rules, err := budget.Rules(slos...)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			b, err := rules.YAML()
			if err != nil {
				return runError(err)
			}
			return writeOut(cmd, out, b)
		},
	}
	q.add(cmd)
	o.add(cmd, "99.999%")
	fl := cmd.Flags()
	fl.StringVar(&name, "name", slo.Availability, "of the objective, for the label slo")
	fl.StringVar(&service, "service", "", "of the objective, for the label service; of OpenSLO documents, the one to take (default fivenines, or all)")
	fl.StringVar(&openSLO, "openslo", "", "OpenSLO v1 documents to make rules of")
	fl.StringVar(&out, "out", "", "file to write (default standard output)")
	return cmd
}

func howMany(conditions ...bool) (n int) {
	for _, c := range conditions {
		if c {
			n++
		}
	}
	return n
}

// slos are the one objective of the command line.
func (q *queryFlags) slos(o *objectiveFlags, name, service string) ([]budget.SLO, error) {
	d, err := platformObjective()
	if err != nil {
		return nil, runError(err)
	}
	s := budget.SLO{Name: name, Service: service, Policy: budget.Workbook()}
	if s.Objective, err = o.objective(d); err != nil {
		return nil, err
	}
	if s.Indicator, err = q.indicator(); err != nil {
		return nil, err
	}
	if u, err := s.Indicator.Unit(); err == nil && u == budget.Unknown {
		s.Policy.MinErrors = 0 // there is nothing to count them by
	}
	return []budget.SLO{s}, nil
}

// openSLOs reads documents and prints what has no effect.
func openSLOs(cmd *cobra.Command, path, service string) ([]budget.SLO, error) {
	set, err := openslo.Load(path)
	if err == nil && service != "" {
		set, err = set.For(service)
	}
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	slos, warnings, err := set.BudgetSLOs()
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	for _, w := range warnings {
		fmt.Fprintln(cmd.ErrOrStderr(), "fivenines: warning:", w)
	}
	return slos, nil
}

// writeOut writes to a file, or to standard output.
func writeOut(cmd *cobra.Command, path string, b []byte) error {
	if path == "" || path == "-" {
		if _, err := cmd.OutOrStdout().Write(b); err != nil {
			return runError(err)
		}
		return nil
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		return runError(err)
	}
	fmt.Fprintln(cmd.OutOrStdout(), path)
	return nil
}

func sloOpenSLOCommand() *cobra.Command {
	var (
		q                    queryFlags
		service, period, out string
	)
	cmd := &cobra.Command{
		Use:   "openslo [SCENARIO|FILE]",
		Short: "Write a scenario's objectives as OpenSLO v1 documents",
		Long: `Writes the objectives that a scenario declares, or without one those of the
platform, as OpenSLO v1 documents: an SLO for each that OpenSLO can say, annotations
of the Service for the others. With queries the availability is one that fivenines
slo rules --openslo makes Prometheus rules of.`,
		Example: `  fivenines slo openslo
  fivenines slo openslo region-loss --out region-loss.openslo.yaml
  fivenines slo openslo --good 'good_requests_total' --total 'requests_total'`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			rules := scenarios.DefaultRules()
			src := openslo.Source{Service: cmp.Or(service, budget.DefaultService), Deadline: time.Duration(rules.Deadline)}
			objectives := rules.Defaults
			if len(args) == 1 {
				spec, err := scenarioFor(args[0])
				if err != nil {
					return &exitError{exitUsage, err}
				}
				src.Service, src.Description = cmp.Or(service, spec.Name), spec.Description
				objectives = spec.Objectives
			}
			var err error
			if period != "" {
				if src.Period, err = budget.ParseDuration(period); err != nil {
					return usageError("--period: %v", err)
				}
			}
			if q.given() {
				if _, ok := objectives[slo.Availability]; !ok {
					return usageError("the queries are of the availability, which %s does not declare", src.Service)
				}
				if src.Availability, err = q.indicator(); err != nil {
					return err
				}
			}
			set, err := openslo.FromObjectives(src, objectives)
			if err != nil {
				return &exitError{exitUsage, err}
			}
			var b strings.Builder
			if err := set.Write(&b); err != nil {
				return &exitError{exitUsage, err}
			}
			return writeOut(cmd, out, []byte(b.String()))
		},
	}
	q.add(cmd)
	fl := cmd.Flags()
	fl.StringVar(&service, "service", "", "name of the Service (default the scenario's)")
	fl.StringVar(&period, "period", "", "of the availability, such as 28d (default 30d)")
	fl.StringVar(&out, "out", "", "file to write (default standard output)")
	return cmd
}

func sloBudgetCommand() *cobra.Command {
	var (
		o                objectiveFlags
		policy, maxSpend string
		scale            float64
		asJSON           bool
	)
	cmd := &cobra.Command{
		Use:   "budget RUN...",
		Short: "Show what a run would have cost of a month's error budget, and whom it would have paged",
		Long: `Takes what the clients of a run saw, second by second, and says which share of the
error budget it spent, how fast it burnt, and which alerts would have fired when:
had it happened to a service that was healthy for as long as the longest window
before, and was again afterwards. RUN is a run's folder or its result.json.`,
		Example: `  fivenines slo budget runs/20260102T150405Z-region-loss
  fivenines slo budget RUN --target 99.95% --period 28d --max-spend 10%   # exit 1 if it cost more
  fivenines slo budget RUN --policy docker/prometheus/slo.yml
  fivenines slo budget RUN --scale 60   # each second of the run stands for a minute`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usageError("slo budget needs a run: its folder, or its result.json; fivenines run makes one in runs/")
			}
			b := budgets{scale: scale, flags: &o, policy: budget.Workbook(), limit: math.Inf(1)}
			if policy != "" {
				f, err := budget.Load(policy)
				if err != nil {
					return &exitError{exitUsage, err}
				}
				b.policy = f.Policy
			}
			if maxSpend != "" {
				var err error
				if b.limit, err = budget.ParseShare(maxSpend); err != nil {
					return usageError("--max-spend: %v", err)
				}
			}
			if !(scale >= 1) {
				return usageError("--scale must be 1 or more, not %v", scale)
			}
			for _, path := range args {
				if err := b.add(path); err != nil {
					return err
				}
			}
			if err := b.print(cmd.OutOrStdout(), asJSON); err != nil {
				return runError(err)
			}
			if spent := b.spent(); spent > b.limit {
				return &exitError{exitMiss, fmt.Errorf("%s of the error budget is spent, more than %s", shareText(spent), shareText(b.limit))}
			}
			return nil
		},
	}
	o.add(cmd, "the run's own objective, else 99.999%")
	fl := cmd.Flags()
	fl.StringVar(&policy, "policy", "", "YAML file with the policy of the alerts (default the Workbook's)")
	fl.StringVar(&maxSpend, "max-spend", "", "share of the budget, such as 10%, above which the exit status is 1")
	fl.Float64Var(&scale, "scale", 1, "divide the period and all windows, for a run that stands for a longer time")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// budgets are the runs that slo budget looks at.
type budgets struct {
	scale  float64
	flags  *objectiveFlags
	policy budget.Policy
	limit  float64
	runs   []runBudget
}

type runBudget struct {
	path   string
	result *slo.Result
	first  int // second of the run at which its series begins
	report *budget.Report
}

// add examines a run.
func (b *budgets) add(path string) error {
	res, err := budgetResult(path)
	if err != nil {
		return fileError(err)
	}
	if len(res.Timeline) == 0 {
		return runError(fmt.Errorf("%s has no timeline of what its clients saw; fivenines analyze --write makes it anew", path))
	}
	series, first, err := budget.PerSecondSeries(len(res.Timeline), func(i int) (int, budget.Count) {
		t := res.Timeline[i]
		return t.Second, budget.Count{Good: uint64(max(0, t.Good)), Total: uint64(max(0, t.Intended))}
	})
	if err != nil {
		return fileError(fmt.Errorf("timeline of %s: %w", path, err))
	}
	d, err := objectiveOf(res)
	if err != nil {
		return runError(err)
	}
	if d, err = b.flags.objective(d); err != nil {
		return err
	}
	p := b.policy
	if b.scale != 1 {
		p, d.Period = p.Scaled(b.scale), time.Duration(float64(d.Period)/b.scale)
	}
	if err := p.Validate(d); err != nil {
		return usageError("alerts for %s: %v; give a --policy that fits", budget.FormatPercent(d.Target), err)
	}
	report, err := budget.Examine(d, p, series)
	if err != nil {
		return runError(fmt.Errorf("%s: %w", path, err))
	}
	b.runs = append(b.runs, runBudget{path: path, result: res, first: first, report: report})
	return nil
}

// budgetResult reads a run's folder, or its result.json alone: also one of an
// earlier version, since no more than the timeline is needed of it.
func budgetResult(path string) (*slo.Result, error) {
	info, err := os.Stat(path)
	if err != nil || info.IsDir() {
		return storedResult(path)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	res := &slo.Result{}
	if err := json.Unmarshal(data, res); err != nil {
		return nil, fmt.Errorf("%s is not a result.json: %w", path, err)
	}
	if res.Schema != slo.Schema {
		return nil, fmt.Errorf("%s is not a result.json: its schema is %q, not %q", path, res.Schema, slo.Schema)
	}
	return res, nil
}

// objectiveOf is the availability that a run declared, else the platform's.
func objectiveOf(res *slo.Result) (budget.Objective, error) {
	for _, o := range res.Objectives {
		if o.Name == slo.Availability && o.Target != "" {
			d, err := availabilityOf(o.Target)
			if err == nil && d.Target < 1 {
				return d, nil
			}
		}
	}
	return platformObjective()
}

func (b *budgets) spent() (sum float64) {
	for _, r := range b.runs {
		sum += r.report.Spending.Spent
	}
	return sum
}

// jsonBudget is a run in slo budget --json. Seconds count from the run's epoch,
// as in result.json.
type jsonBudget struct {
	Run        string      `json:"run"`
	Scenario   string      `json:"scenario"`
	Target     float64     `json:"target"`
	PeriodS    float64     `json:"period_s"`
	Operations uint64      `json:"operations"`
	Bad        uint64      `json:"bad"`
	BadAllowed float64     `json:"bad_allowed"` // in the period, at the run's rate
	ErrorRatio float64     `json:"error_ratio"`
	BurnRate   float64     `json:"burn_rate"`
	Spent      float64     `json:"budget_spent"`
	DowntimeS  float64     `json:"downtime_s"`
	Peaks      []jsonPeak  `json:"peak_burn_rates"`
	Alerts     []jsonAlert `json:"alerts"`
}

type jsonPeak struct {
	WindowS  float64 `json:"window_s"`
	BurnRate float64 `json:"burn_rate"`
	AtS      float64 `json:"at_s"`
}

type jsonAlert struct {
	Severity string  `json:"severity"`
	Response string  `json:"response"`
	LongS    float64 `json:"long_s"`
	ShortS   float64 `json:"short_s"`
	Factor   float64 `json:"factor"`
	FiresS   float64 `json:"fires_s"`
	ResetsS  float64 `json:"resets_s"`
}

func (r *runBudget) json() jsonBudget {
	rep, sp := r.report, r.report.Spending
	at := func(d time.Duration) float64 { return float64(r.first) + d.Seconds() }
	j := jsonBudget{
		Run: r.path, Scenario: r.result.Scenario, Target: rep.Objective.Target, PeriodS: rep.Objective.Period.Seconds(),
		Operations: sp.Total, Bad: sp.Bad(), BadAllowed: sp.Budget, ErrorRatio: sp.ErrorRatio, BurnRate: sp.BurnRate,
		Spent: sp.Spent, DowntimeS: sp.Downtime.Seconds(), Peaks: []jsonPeak{}, Alerts: []jsonAlert{},
	}
	for _, p := range rep.Peaks {
		j.Peaks = append(j.Peaks, jsonPeak{p.Window.Seconds(), p.BurnRate, at(p.At)})
	}
	for _, f := range rep.Firings {
		a := f.Alert
		j.Alerts = append(j.Alerts, jsonAlert{a.Severity, a.Response, a.Long.Seconds(), a.Short.Seconds(), a.Factor(rep.Objective.Period), at(f.From), at(f.To)})
	}
	return j
}

func (b *budgets) print(w io.Writer, asJSON bool) error {
	if asJSON {
		out := []jsonBudget{}
		for i := range b.runs {
			out = append(out, b.runs[i].json())
		}
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(out)
	}
	for i := range b.runs {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := b.runs[i].print(w); err != nil {
			return err
		}
	}
	if len(b.runs) > 1 {
		fmt.Fprintf(w, "\nall %d runs, in one period: %s of the budget\n", len(b.runs), shareText(b.spent()))
	}
	return nil
}

// print is the run as text.
func (r *runBudget) print(w io.Writer) error {
	rep, sp := r.report, r.report.Spending
	o := rep.Objective
	fmt.Fprintf(w, "%s (%s)%s\n", r.result.Scenario, r.path, mutantNote(r.result.Mutant))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  objective\t%s in %s leaves %v of total outage, or %.0f bad operations at this rate\n",
		budget.FormatPercent(o.Target), budget.FormatDuration(o.Period), roughly(o.Downtime()), sp.Budget)
	fmt.Fprintf(t, "  this run\t%d operations, %d of them bad: %s\n", sp.Total, sp.Bad(), shareText(sp.ErrorRatio))
	fmt.Fprintf(t, "  spent\t%s of the budget, as %v of total outage would\n", shareText(sp.Spent), roughly(sp.Downtime))
	if left := 1 - sp.Spent; left > 0 {
		fmt.Fprintf(t, "  left\t%s\n", shareText(left))
	} else {
		fmt.Fprintf(t, "  left\tnothing: the objective is missed for this %s\n", budget.FormatDuration(o.Period))
	}
	var peaks []string
	for _, p := range rep.Peaks {
		peaks = append(peaks, fmt.Sprintf("%s in %s", fourDigits(p.BurnRate), budget.FormatDuration(p.Window)))
	}
	fmt.Fprintf(t, "  burn rate\tat most %s\n", strings.Join(peaks, ", "))
	if err := t.Flush(); err != nil {
		return err
	}
	return r.printAlerts(w)
}

func (r *runBudget) printAlerts(w io.Writer) error {
	rep := r.report
	if len(rep.Firings) == 0 {
		fmt.Fprintln(w, "  no alert would have fired")
		return nil
	}
	fmt.Fprintf(w, "  alerts that would have fired (Prometheus notices at an evaluation, up to %s later):\n", budget.FormatDuration(rep.Policy.Interval))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, f := range rep.Firings {
		a := f.Alert
		fmt.Fprintf(t, "    %s (%s)\t%s of the budget in %s, burn rate over %s\t%s\tfor %v\n", a.Severity, a.Response,
			budget.FormatPercent(a.Budget), budget.FormatDuration(a.Long), budget.Number(a.Factor(rep.Objective.Period)), r.when(f.From), roughly(f.To-f.From))
	}
	return t.Flush()
}

// when is an instant of the series by what was broken, or given back, before it.
func (r *runBudget) when(at time.Duration) string {
	s := float64(r.first) + at.Seconds()
	last, what := math.Inf(-1), ""
	note := func(at float64, text string) {
		if at <= s && at > last {
			last, what = at, text
		}
	}
	for _, t := range r.result.Trials {
		for _, f := range t.Faults {
			kind := cmp.Or(f.Kind, "the fault")
			if f.Asked != "" {
				note(f.AskedS, kind)
			}
			if f.UndoneS != nil {
				note(f.UndoneS.Value, "the end of "+kind)
			}
		}
	}
	if what == "" {
		return fmt.Sprintf("at second %.0f", s)
	}
	return fmt.Sprintf("%.1f s after %s", s-last, what)
}

// roughly is a duration without digits that nobody reads.
func roughly(d time.Duration) time.Duration {
	switch {
	case d >= time.Hour:
		return d.Round(time.Minute)
	case d >= time.Minute:
		return d.Round(time.Second)
	default:
		return d.Round(10 * time.Millisecond)
	}
}

func shareText(share float64) string { return fourDigits(share*100) + " %" }

// fourDigits is a number to four digits.
func fourDigits(v float64) string {
	if math.Abs(v) >= 1000 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.4g", v)
}

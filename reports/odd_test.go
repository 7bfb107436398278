package reports

import (
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/fivenines/fivenines/slo"
)

// Odd results do not break a format.
func TestOddResults(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, r := range map[string]*slo.Result{
		"empty": {},
		"not numbers": {
			Verdict: slo.Missed, Timeline: []slo.Slice{{Second: -3, ReadP99: nan, WriteP99: inf}, {Second: -3}, {Second: 1 << 40, Good: -1, WriteP50: 1e-300, WriteP99: 1e300}},
			Marks:      []slo.Mark{{AtS: nan}, {AtS: inf, Kind: "x"}},
			Objectives: []slo.Objective{{Name: slo.Failover, Target: "< 5 s", Measured: &slo.Value{Value: nan, Lower: &inf}, Unit: "s", Verdict: slo.Missed}},
			Trials: []slo.Trial{{
				Faults:   []slo.FaultRecord{{AskedS: nan, Failover: &slo.Outage{N: 1, Value: inf, Partitions: []slo.PartitionOutage{{Start: nan}}}}, {UndoneS: val(nan), ProvedS: val(inf)}},
				Measures: slo.Measures{Failover: &slo.Outage{Value: nan, N: 3, Partitions: []slo.PartitionOutage{{Start: 3, End: 1}, {Start: inf, End: inf}}}, Phases: map[string]float64{"elected": nan, "": inf, "x": -4}, Sessions: -1, SessionsLost: 4, Availability: val(nan)},
			}, {Measures: slo.Measures{Failover: &slo.Outage{N: 2, Value: -1, Partitions: []slo.PartitionOutage{{Start: 1, End: 1}, {Start: -1e18, End: 1e18}}}}}},
		},
	} {
		for format := range formats {
			if format == "json" {
				continue // has no way to write them, and says so
			}
			text := render(t, format, r)
			assert.NotEmpty(t, text)
			assert.NotContains(t, text, "NaN", "%s of %s", format, name)
		}
		skeleton(t, render(t, "html", r))
	}
}

// scatter puts numbers into every numeric field of a result, and text and
// verdicts into strings, chosen by a seed.
func scatter(r *slo.Result, seed uint64, text string, numbers []float64) {
	rnd := rand.New(rand.NewPCG(seed, 5))
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			switch {
			case v.IsNil():
			case v.CanSet() && rnd.IntN(8) == 0:
				v.SetZero()
			default:
				walk(v.Elem())
			}
		case reflect.Struct:
			if v.Type().PkgPath() != "time" {
				for i := range v.NumField() {
					walk(v.Field(i))
				}
			}
		case reflect.Slice:
			if rnd.IntN(12) == 0 {
				v.SetLen(v.Len() / 2)
			}
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Map:
			for _, k := range slices.SortedFunc(slices.Values(v.MapKeys()), func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) }) {
				v.SetMapIndex(k, reflect.ValueOf(numbers[rnd.IntN(len(numbers))]))
			}
		case reflect.Float64:
			if rnd.IntN(3) == 0 {
				v.SetFloat(numbers[rnd.IntN(len(numbers))])
			}
		case reflect.Int, reflect.Int64:
			if f := numbers[rnd.IntN(len(numbers))]; rnd.IntN(4) == 0 && math.Abs(f) < 1e15 {
				v.SetInt(int64(f))
			}
		case reflect.Bool:
			v.SetBool(rnd.IntN(2) == 0)
		case reflect.String:
			if rnd.IntN(6) == 0 {
				v.SetString([]string{text, "", "met", "missed", "region-loss"}[rnd.IntN(5)])
			}
		}
	}
	walk(reflect.ValueOf(r).Elem())
}

// Whatever is in a result, no format breaks, and what a CI and a screen reader
// rely on holds.
func FuzzReports(f *testing.F) {
	f.Add(uint64(1), hostile, 5.0, -1.0, 0.5)
	f.Add(uint64(2), "", math.NaN(), math.Inf(1), 1e300)
	f.Add(uint64(3), "x", 26.4, 1e-300, -1e18)
	f.Fuzz(func(t *testing.T, seed uint64, text string, a, b, c float64) {
		r := missed()
		r.Timeline = timeline(20, 12, 26, 4)
		r.Marks = r.Marks[:9]
		second := met().Trials[0]
		second.Faults[0].AskedS += 60
		r.Trials = append(r.Trials, second)
		scatter(r, seed, text, []float64{0, 1, a, b, c, a + b, a * c, 26})
		for format := range formats {
			if format != "json" { // which has no way to write some numbers, and says so
				text := render(t, format, r)
				if strings.Contains(text, "NaN") && !strings.Contains(fmt.Sprintf("%+v", r), "NaN") {
					t.Errorf("%s made a NaN", format)
				}
			}
		}
		s := readJUnit(t, render(t, "xml", r))
		if (overall(r) != slo.Met || r.Mutant != "" && overall(r) != slo.Missed) && s.Failures+s.Errors == 0 {
			t.Error("a run that is not met has a green suite")
		}
		page := render(t, "html", r)
		if lacks := accessible(t, page); len(lacks) > 0 {
			t.Error(lacks)
		}
		if len(page) > 5<<20 {
			t.Errorf("the page has %d bytes", len(page))
		}
	})
}

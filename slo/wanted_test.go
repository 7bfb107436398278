package slo

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/fixtures/histories"
)

// flat are the values of a trial by path, as "regions.us-east-1.fates.sessions".
// What is null has the value null at its path, lists of numbers are one value,
// and faults count from 1.
func flat(tr *Trial) map[string]string {
	out := map[string]string{}
	var walk func(path string, v reflect.Value)
	walk = func(path string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Pointer:
			if v.IsNil() {
				out[path] = "null"
				return
			}
			walk(path, v.Elem())
		case reflect.Struct:
			for i := range v.NumField() {
				name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
				walk(strings.TrimPrefix(path+"."+name, "."), v.Field(i))
			}
		case reflect.Slice:
			var list []string
			for i := range v.Len() {
				key := fmt.Sprint(i)
				switch e := v.Index(i).Interface().(type) {
				case RegionShare:
					key = e.Region
				case PartitionShare:
					key = fmt.Sprint(e.Partition)
				case PartitionOutage:
					key = fmt.Sprint(e.Partition)
				case FaultRecord:
					key = fmt.Sprint(i + 1)
				case int:
					list = append(list, fmt.Sprint(e))
					continue
				}
				walk(path+"."+key, v.Index(i))
			}
			if list != nil {
				out[path] = strings.Join(list, ",")
			}
		case reflect.Map:
			for _, k := range v.MapKeys() {
				walk(path+"."+k.String(), v.MapIndex(k))
			}
		case reflect.Float64:
			out[path] = number(v.Float())
		default:
			out[path] = fmt.Sprint(v.Interface())
		}
	}
	walk("", reflect.ValueOf(*tr))
	return out
}

// wants are what a history says of its result, with what the one says that it
// names in "as".
func wants(t testing.TB, h *histories.History) map[string]string {
	t.Helper()
	out := map[string]string{}
	if as := h.Want["as"]; as != "" {
		o, err := histories.Load(as)
		require.NoError(t, err)
		for k, v := range o.Want {
			out[k] = v
		}
	}
	for k, v := range h.Want {
		if k != "as" {
			out[k] = v
			if root := k[:max(0, strings.LastIndex(k, "."))]; out[root] == "null" {
				delete(out, root) // what is null there has values here
			}
		}
	}
	return out
}

// stated says what is wanted at a path: what is said of it, else what is said of
// "*" at the end of it, which only counts may be.
func stated(want map[string]string, path string, v reflect.Kind) (string, bool) {
	if w, ok := want[path]; ok {
		return w, true
	}
	w, ok := want[path[:strings.LastIndex(path, ".")+1]+"*"]
	return w, ok && v == reflect.Int
}

// agrees says whether a value is the one wanted, which may be a fraction.
func agrees(want, got string) bool {
	if want == got {
		return true
	}
	a, b, ok := strings.Cut(want, "/")
	if !ok {
		return false
	}
	x, err1 := strconv.ParseFloat(a, 64)
	y, err2 := strconv.ParseFloat(b, 64)
	v, err3 := strconv.ParseFloat(got, 64)
	return err1 == nil && err2 == nil && err3 == nil && math.Abs(x/y-v) < 1e-9
}

// kindOf is the kind of value at a path of a trial.
func kindOf(path string) reflect.Kind {
	typ := reflect.TypeFor[Trial]()
	for _, name := range strings.Split(path, ".") {
		for typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		switch typ.Kind() {
		case reflect.Slice, reflect.Map:
			typ = typ.Elem()
			continue
		}
		for i := range typ.NumField() {
			if tag, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ","); tag == name {
				typ = typ.Field(i).Type
				break
			}
		}
	}
	return typ.Kind()
}

// unstated lists what a history does not say of a trial, or says wrongly, of
// all that is measured.
func unstated(want map[string]string, tr *Trial) []string {
	var out []string
	got := flat(tr)
	for path, v := range got {
		measured := slices.ContainsFunc([]string{"measures.", "operations.", "session_availability", "regions.", "partitions."}, func(p string) bool { return strings.HasPrefix(path, p) })
		if strings.HasPrefix(path, "faults.") {
			measured = strings.Contains(path, ".phases_s.")
		}
		if name := path[strings.LastIndex(path, ".")+1:]; !measured || name == "region" || name == "partition" {
			continue
		}
		if strings.HasSuffix(path, ".lower") || strings.HasSuffix(path, ".upper") {
			if _, ok := want[path]; !ok && v == "null" {
				continue // a number without bounds
			}
		}
		w, ok := stated(want, path, kindOf(path))
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("%s=%s is not stated", path, v))
		case !agrees(w, v):
			out = append(out, fmt.Sprintf("%s is %s, not %s", path, v, w))
		}
	}
	for path := range want {
		root, _, nested := strings.Cut(path, ".")
		if _, ok := got[path]; nested && !ok && !strings.HasSuffix(path, "*") && slices.Contains([]string{"measures", "operations", "session_availability", "regions", "partitions", "faults"}, root) {
			out = append(out, path+" is stated, and there is none")
		}
	}
	slices.Sort(out)
	return out
}

var wholeHistories = []string{"all-measures-good", "all-measures-bad", "all-measures-replicas-bad", "region-breakdown-good", "self-restart-good"}

// In some histories every single measure is stated, of the service, of each
// region and of each partition, and each has something in one of them. A new
// measure has to be worked out by hand before this test passes.
func TestEveryMeasureIsWorkedOut(t *testing.T) {
	something := map[string]bool{
		"linearizable_histories_unknown": true, // a history that a checker gives up on is too long to work out
	}
	for _, name := range wholeHistories {
		h, err := histories.Load(name)
		require.NoError(t, err)
		r, err := analyze(recordOf(h), configOf(t, h))
		require.NoError(t, err)
		for _, u := range unstated(wants(t, h), &r.Trials[0]) {
			t.Errorf("%s: %s", name, u)
		}
		for path, v := range flat(&r.Trials[0]) {
			root, rest, _ := strings.Cut(path, ".")
			if measure, _, _ := strings.Cut(rest, "."); root == "measures" && v != "0" && v != "null" && v != "false" {
				something[measure] = true
			}
		}
	}
	for i := range reflect.TypeFor[Measures]().NumField() {
		name, _, _ := strings.Cut(reflect.TypeFor[Measures]().Field(i).Tag.Get("json"), ",")
		assert.True(t, something[name], "no history has any %s to work out", name)
	}
}

// What is not stated, or not so, is seen.
func TestUnstatedIsSeen(t *testing.T) {
	h, err := histories.Load("all-measures-bad")
	require.NoError(t, err)
	r, err := analyze(recordOf(h), configOf(t, h))
	require.NoError(t, err)
	for path, want := range map[string]string{
		"measures.rpo_s.value":                   "not stated",
		"measures.linearizable":                  "not stated",
		"measures.phases.promoted":               "not stated",
		"regions.eu-west-1.latency_ms_write.p99": "not stated",
		"regions.eu-west-1.fates.stale_reads":    "is 1, not 0",
		"measures.expired_late":                  "is 1, not 0",
		"partitions.1.outages.1.undo":            "not stated",
		"session_availability.by_bad_windows":    "not stated",
		"faults.1.phases_s.elect":                "not stated",
		"regions.us-east-1.operations.unsent":    "not stated",
		"measures.failover_s.partitions.1.end_s": "not stated",
		"measures.failover_s.upper":              "not stated",
	} {
		w := wants(t, h)
		require.Contains(t, w, path)
		delete(w, path)
		got := strings.Join(unstated(w, &r.Trials[0]), "\n")
		assert.Contains(t, got, path)
		assert.Contains(t, got, want, path)
	}
	w := wants(t, h)
	w["measures.availability.value"] = "90/98"
	w["partitions.7.count"] = "1"
	assert.Len(t, unstated(w, &r.Trials[0]), 2)
}

package failover

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config holds all intervals and bounds; zero fields take the defaults.
type Config struct {
	PingEvery    Duration `json:"ping_every,omitzero"`      // 200ms: a sign of life between heartbeats
	Heartbeat    Duration `json:"heartbeat,omitzero"`       // 1s: what nodes report of themselves and of others
	ConnTimeout  Duration `json:"conn_timeout,omitzero"`    // 5s: a silent connection is closed, a silent node is down whatever phi says
	Phi          float64  `json:"phi,omitzero"`             // 8: suspected, with an error of 1e-8 if intervals are normal
	MinDeviation Duration `json:"min_deviation,omitzero"`   // 100ms: of intervals, however regular they were
	ConfirmAfter Duration `json:"confirm_after,omitzero"`   // 1s: silence after which a suspected node is down
	RegionSettle Duration `json:"region_settle,omitzero"`   // 500ms: all nodes of a region down for so long before roles move
	FailBack     Duration `json:"fail_back_after,omitzero"` // 5s: a region is back for so long before it gets its role again; doubles with each outage
	NodeSettle   Duration `json:"node_settle,omitzero"`     // 2s: a node is back for so long before it is given leadership; doubles with each outage
	HoldDownMax  Duration `json:"hold_down_max,omitzero"`   // 5m: no hold-down is longer
	FlapMemory   Duration `json:"flap_memory,omitzero"`     // 10m: calm for so long, and earlier outages are forgotten
	RoleGap      Duration `json:"role_gap,omitzero"`        // 2s between two changes of roles
	Escalate     Duration `json:"escalate_after,omitzero"`  // 30s: an outage that is not over is somebody else's too

	CPU        float64  `json:"cpu,omitzero"`         // 90 %
	Memory     float64  `json:"memory,omitzero"`      // 85 %
	LoadFor    Duration `json:"load_for,omitzero"`    // 3s over the bound before it is an incident
	Latency    Duration `json:"latency,omitzero"`     // 200ms over the link's quickest
	LatencyFor Duration `json:"latency_for,omitzero"` // 3s

	ReplaceAfter       Duration `json:"replace_after,omitzero"`        // 60s: a node down for so long is replaced in its region
	ReplaceRegionAfter Duration `json:"replace_region_after,omitzero"` // 5m: a region out for so long is replaced in the others

	// NoHysteresis is a mutant: whatever comes back is trusted at once, and each
	// silence is believed at once.
	NoHysteresis bool `json:"no_hysteresis,omitempty"`
}

// Default values.
func Default() Config {
	return Config{PingEvery: ms(200), Heartbeat: ms(1000), ConnTimeout: ms(5000), Phi: 8, MinDeviation: ms(100), ConfirmAfter: ms(1000), RegionSettle: ms(500),
		FailBack: ms(5000), NodeSettle: ms(2000), HoldDownMax: Duration(5 * time.Minute), FlapMemory: Duration(10 * time.Minute), RoleGap: ms(2000), Escalate: ms(30_000),
		CPU: 90, Memory: 85, LoadFor: ms(3000), Latency: ms(200), LatencyFor: ms(3000),
		ReplaceAfter: ms(60_000), ReplaceRegionAfter: Duration(5 * time.Minute)}
}

func ms(n int) Duration { return Duration(time.Duration(n) * time.Millisecond) }

// Filled is c with the defaults in its zero fields.
func (c Config) Filled() Config {
	out, def := reflect.ValueOf(&c).Elem(), reflect.ValueOf(Default())
	for i := range out.NumField() {
		if out.Field(i).IsZero() {
			out.Field(i).Set(def.Field(i))
		}
	}
	return c
}

// Set changes one field by its JSON name, as a topology's settings give it.
func (c *Config) Set(name, value string) error {
	v := reflect.ValueOf(c).Elem()
	var names []string
	for i := range v.NumField() {
		tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		if tag == "no_hysteresis" {
			continue // a mutant's
		}
		names = append(names, tag)
		if tag != name {
			continue
		}
		switch f := v.Field(i).Addr().Interface().(type) {
		case *Duration:
			if err := f.UnmarshalText([]byte(value)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		case *float64:
			x, err := strconv.ParseFloat(value, 64)
			if err != nil || !(x > 0) || math.IsInf(x, 0) {
				return fmt.Errorf("%s: %q is not a number above 0", name, value)
			}
			*f = x
		}
		return nil
	}
	slices.Sort(names)
	return fmt.Errorf("no setting is called %q; there are %s", name, strings.Join(names, ", "))
}

// Duration is written as text, such as 500ms.
type Duration time.Duration

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler; it takes nothing below 0.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil || v <= 0 {
		return fmt.Errorf("%q is not a duration above 0 such as 500ms", b)
	}
	*d = Duration(v)
	return nil
}

func (d Duration) d() time.Duration { return time.Duration(d) }

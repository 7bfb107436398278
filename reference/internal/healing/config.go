package healing

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config holds the intervals and bounds; zero fields take the defaults.
type Config struct {
	CheckEvery   Duration `json:"health_every,omitzero"`        // 5s between two health checks
	CheckTimeout Duration `json:"health_timeout,omitzero"`      // 4s for one to be answered
	Failures     int      `json:"health_failures,omitzero"`     // 3 in a row that fail make it unhealthy; as many that pass, well
	Patience     Duration `json:"start_patience,omitzero"`      // 15s after a start in which no failed check counts
	Restarts     int      `json:"max_restarts,omitzero"`        // 3, then the cooldown
	Backoff      Duration `json:"restart_backoff,omitzero"`     // 200ms before the first restart; doubles with each
	BackoffMax   Duration `json:"restart_backoff_max,omitzero"` // 5s: no backoff is longer
	Cooldown     Duration `json:"restart_cooldown,omitzero"`    // 2m in which it is left alone; afterwards it is escalated, and tried once in each
	Memory       Duration `json:"restart_memory,omitzero"`      // 10m: well for so long, and earlier restarts are forgotten
	StopIn       Duration `json:"stop_timeout,omitzero"`        // 5s for it to end once it is asked to
}

// Default values.
func Default() Config {
	s := func(n int) Duration { return Duration(time.Duration(n) * time.Second) }
	return Config{CheckEvery: s(5), CheckTimeout: s(4), Failures: 3, Patience: s(15), Restarts: 3, Backoff: Duration(200 * time.Millisecond), BackoffMax: s(5),
		Cooldown: s(120), Memory: s(600), StopIn: s(5)}
}

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

// Settings are the names that [Config.Set] knows.
func Settings() []string {
	var names []string
	for f := range reflect.TypeFor[Config]().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names = append(names, name)
	}
	return names
}

// Set changes one field by its JSON name, as a topology's settings give it.
func (c *Config) Set(name, value string) error {
	i := slices.Index(Settings(), name)
	if i < 0 {
		return fmt.Errorf("no setting of healing is called %q; there are %s", name, strings.Join(Settings(), ", "))
	}
	switch f := reflect.ValueOf(c).Elem().Field(i).Addr().Interface().(type) {
	case *Duration:
		if err := f.UnmarshalText([]byte(value)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	case *int:
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || n > 1000 {
			return fmt.Errorf("%s: %q is not a number from 1 to 1000", name, value)
		}
		*f = n
	}
	return nil
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

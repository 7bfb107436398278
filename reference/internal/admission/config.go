package admission

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fivenines/fivenines/reference/internal/failover"
)

// Config holds all bounds; zero fields take the defaults. The bounds of CPU and
// memory are those of the failover manager (cpu, memory), so that what is an
// incident and what sheds load are the same.
type Config struct {
	MaxInFlight int               `json:"max_in_flight,omitzero"` // 16384: operations taken and not answered, at most; a shard and a connection have a quarter
	MinInFlight int               `json:"min_in_flight,omitzero"` // 1024: the limit adapts down to it
	QueueDelay  failover.Duration `json:"queue_delay,omitzero"`   // 250ms: a longer standing wait for the node's loop lowers the limit
	ShedAfter   failover.Duration `json:"shed_after,omitzero"`    // 1s over a bound before low, then normal priority is refused
	ShedFor     failover.Duration `json:"shed_for,omitzero"`      // 3s below a bound before a level ends; doubles, up to eightfold, if it comes back
	// BreakerCalls is how many requests of a second a breaker wants to see answered
	// or timed out before it opens, 10; it does if half of them timed out.
	BreakerCalls int               `json:"breaker_calls,omitzero"`
	BreakerDelay failover.Duration `json:"breaker_delay,omitzero"` // 250ms until an open breaker lets a probe through
}

// Default values.
func Default() Config {
	d := func(d time.Duration) failover.Duration { return failover.Duration(d) }
	return Config{MaxInFlight: 16 << 10, MinInFlight: 1 << 10, QueueDelay: d(250 * time.Millisecond), ShedAfter: d(time.Second), ShedFor: d(3 * time.Second),
		BreakerCalls: 10, BreakerDelay: d(250 * time.Millisecond)}
}

// Filled is c with the defaults in its zero fields.
func (c Config) Filled() Config {
	out, def := reflect.ValueOf(&c).Elem(), reflect.ValueOf(Default())
	for i := range out.NumField() {
		if out.Field(i).IsZero() {
			out.Field(i).Set(def.Field(i))
		}
	}
	c.MinInFlight = min(c.MinInFlight, c.MaxInFlight)
	return c
}

// Names of the settings, in alphabetical order.
func Names() (names []string) {
	t := reflect.TypeFor[Config]()
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Set changes one field by its JSON name, as a topology's settings give it.
func (c *Config) Set(name, value string) error {
	v := reflect.ValueOf(c).Elem()
	for i := range v.NumField() {
		if tag, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ","); tag != name {
			continue
		}
		switch f := v.Field(i).Addr().Interface().(type) {
		case *failover.Duration:
			if err := f.UnmarshalText([]byte(value)); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		case *int:
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 || n > 1<<24 {
				return fmt.Errorf("%s: %q is not a number from 1 to %d", name, value, 1<<24)
			}
			*f = n
		}
		return nil
	}
	return fmt.Errorf("no setting is called %q; there are %s", name, strings.Join(Names(), ", "))
}

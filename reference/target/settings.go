package target

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/reference/internal/admission"
	"github.com/fivenines/fivenines/reference/internal/failover"
	"github.com/fivenines/fivenines/reference/internal/healing"
)

// Settings of the platform that are nobody's in particular. The others are what a
// node takes on ([admission.Config]), when what failed is started again
// ([healing.Config]), and the intervals and bounds of the failover manager
// ([failover.Config]).
const (
	// Bytes of sessions' values in a node's memory; the others are on its disk.
	settingSessionMemory = "session_memory"
	// Where alerts are told, such as http://127.0.0.1:9093, if not to the
	// Alertmanager that the backend runs.
	settingAlertmanager = "alertmanager"
	// true: nodes run under a supervisor, which starts them again by itself.
	settingSupervised = "supervised"
)

// settings are those of a topology.
type settings struct {
	failover     failover.Config
	admission    admission.Config
	healing      healing.Config
	supervised   bool
	memory       int64  // 0: the default
	alertmanager string // empty: the backend's, if it runs one
}

// settingsOf reads them; the error names the one that is wrong.
func settingsOf(t *fixtures.Topology) (out settings, err error) {
	for _, name := range slices.Sorted(maps.Keys(t.Settings)) {
		value := t.Settings[name]
		switch {
		case name == settingSessionMemory:
			if out.memory, err = strconv.ParseInt(value, 10, 64); err != nil || out.memory < 4096 {
				err = fmt.Errorf("%s: %q is not a number of bytes of at least 4096", name, value)
			}
		case name == settingAlertmanager:
			out.alertmanager = strings.TrimSuffix(value, "/")
			if u, bad := url.Parse(out.alertmanager); bad != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
				err = fmt.Errorf("%s: %q is not a URL such as http://127.0.0.1:9093", name, value)
			}
		case name == settingSupervised:
			if out.supervised, err = strconv.ParseBool(value); err != nil {
				err = fmt.Errorf("%s: %q is not true or false", name, value)
			}
		case slices.Contains(healing.Settings(), name):
			err = out.healing.Set(name, value)
		case slices.Contains(admission.Names(), name):
			err = out.admission.Set(name, value)
		default:
			err = out.failover.Set(name, value)
		}
		if err != nil {
			return settings{}, fmt.Errorf("settings of the reference: %w", err)
		}
	}
	return out, nil
}

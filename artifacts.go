package fivenines

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/reports"
	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/slo"
)

// artifactsEnv names the folder below which the folders of runs are kept.
const artifactsEnv = "FIVENINES_ARTIFACTS"

var unfit = regexp.MustCompile(`[^A-Za-z0-9._-]+`)

// folder makes the run's folder.
func (s *settings) folder(t host) (string, error) {
	below := s.artifacts
	if below == "" && goKeepsArtifacts() {
		s.keep = true // that is what go test was asked for
		below = t.ArtifactDir()
	}
	if below == "" {
		below = os.Getenv(artifactsEnv)
	}
	if below == "" {
		below = os.TempDir()
	}
	below, err := filepath.Abs(below)
	if err == nil {
		err = os.MkdirAll(below, 0o755)
	}
	if err != nil {
		return "", fmt.Errorf("folder of artifacts: %w", err)
	}
	name := strings.Trim(unfit.ReplaceAllString(t.Name(), "-"), "-")
	dir, err := os.MkdirTemp(below, "fivenines-"+name[:min(len(name), 100)]+"-*")
	if err != nil {
		return "", fmt.Errorf("folder of the run: %w", err)
	}
	return dir, os.Chmod(dir, 0o755) // a CI job's next step may be somebody else
}

func goKeepsArtifacts() bool {
	f := flag.Lookup("test.artifacts")
	return f != nil && f.Value.String() == "true"
}

// drop removes the folder of a run that passed, unless it was asked for.
func (s *settings) drop(t host, out string) {
	if s.keep {
		t.Logf("%s: %s", s.res.Verdict, s.kept(out))
		return
	}
	if err := os.RemoveAll(out); err != nil {
		t.Logf("the run's folder is left: %v", err)
	}
}

// kept names what a person wants to open.
func (s *settings) kept(out string) string {
	report := filepath.Join(out, "report.html")
	if _, err := os.Stat(report); err != nil {
		return "its folder: " + out
	}
	return "report: " + report
}

// again is the command that repeats the test with the same seed.
func (s *settings) again(t host, seed int64) string {
	var parts []string
	for p := range strings.SplitSeq(t.Name(), "/") {
		parts = append(parts, "^"+regexp.QuoteMeta(p)+"$")
	}
	short := ""
	if s.short {
		short = " -short"
	}
	cmd := fmt.Sprintf("%s=%d go test -count=1%s -run '%s' .", seedEnv, seed, short, strings.ReplaceAll(strings.Join(parts, "/"), "'", `'\''`))
	if wd, err := os.Getwd(); err == nil {
		cmd = "cd '" + strings.ReplaceAll(wd, "'", `'\''`) + "' && " + cmd
	}
	return cmd
}

// version is that of fivenines in the tested module.
func version() string {
	const path = "github.com/fivenines/fivenines"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path != path {
			continue
		}
		if m.Replace != nil {
			return m.Version + " => " + m.Replace.Path + " " + m.Replace.Version + " " + info.GoVersion
		}
		return m.Version + " " + info.GoVersion
	}
	return "devel " + info.GoVersion
}

func measured(o slo.Objective) string { return reports.Measured(&o) }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// progress logs what a run does while it does it.
type progress struct {
	t       host
	verbose bool
}

func (p progress) Phase(ph scenarios.Phase) {
	if p.verbose {
		p.t.Logf("%s", ph.Text)
	}
}

func (p progress) Event(e history.Event) {
	if p.verbose && (e.Kind == history.FaultProved || e.Kind == history.FaultUnproved || e.Kind == history.Promoted) {
		p.t.Logf("%s %s: %s", e.Kind, e.Subject, e.Detail)
	}
}

func (progress) Sample(scenarios.Sample) {}

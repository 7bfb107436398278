package scenarios

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/reports"
	"github.com/fivenines/fivenines/slo"
)

// Files of a run's folder that this package writes.
const (
	specFile  = "spec.yaml"       // the scenario as run
	rulesFile = "objectives.yaml" // the rules that it was judged by
)

// Analyze judges a stored run. It reads nothing but the run's folder.
func Analyze(dir string) (*slo.Result, error) {
	spec, rules, err := storedAs(dir)
	if err != nil {
		return nil, err
	}
	run, err := history.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("open the run: %w", err)
	}
	res, err := slo.Analyze(run, rules.Config(spec))
	if err != nil {
		return nil, fmt.Errorf("judge the run %s: %w", dir, err)
	}
	res.Description = spec.Description
	return res, nil
}

// storedAs is the scenario of a run, and what it was judged by.
func storedAs(dir string) (*Spec, *Rules, error) {
	rules, err := LoadRules(filepath.Join(dir, rulesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s is not the folder of a run: it has no %s; name one that fivenines run made, such as those in runs/", dir, rulesFile)
	}
	if err != nil {
		return nil, nil, err
	}
	spec, err := load(filepath.Join(dir, specFile), rules)
	if err != nil {
		return nil, nil, err
	}
	return spec, rules, nil
}

// WriteReports writes result.json, report.html and junit.xml into the run's
// folder, each whole or not at all.
func WriteReports(dir string, res *slo.Result) error {
	for _, r := range []struct {
		name  string
		write func(io.Writer, *slo.Result) error
	}{
		{"result.json", reports.WriteJSON},
		{"report.html", reports.WriteHTML},
		{"junit.xml", reports.WriteJUnit},
	} {
		var b bytes.Buffer
		if err := r.write(&b, res); err != nil {
			return fmt.Errorf("write %s: %w", r.name, err)
		}
		if err := replaceFile(filepath.Join(dir, r.name), b.Bytes()); err != nil {
			return fmt.Errorf("write %s: %w", r.name, err)
		}
	}
	return nil
}

func replaceFile(path string, b []byte) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, b, 0o644); err != nil {
		_ = os.Remove(tmp)
		return err
	}
	return os.Rename(tmp, path)
}

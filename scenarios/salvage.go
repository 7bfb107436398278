package scenarios

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/slo"
)

// Salvage makes of the folder of a run that was killed, and whose faults are
// undone, what an interrupted run leaves: the nodes' logs are kept, their data is
// gone, and what was recorded is judged, which is never met. The result is nil
// where nothing was recorded.
func Salvage(dir string) (*slo.Result, error) {
	if err := salvageLogs(dir); err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(dir, history.ManifestFile)); errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it had not begun
	}
	res, err := Analyze(dir)
	if err != nil {
		return nil, err
	}
	return res, WriteReports(dir, res)
}

func salvageLogs(dir string) error {
	work := filepath.Join(dir, "work")
	trials, err := os.ReadDir(work)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("keep the logs of a killed run: %w", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "logs"), 0o755); err != nil {
		return fmt.Errorf("keep the logs of a killed run: %w", err)
	}
	for _, t := range trials {
		err := os.Rename(filepath.Join(work, t.Name(), "logs"), filepath.Join(dir, "logs", t.Name()))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("keep the logs of a killed run: %w", err)
		}
	}
	if err := os.RemoveAll(work); err != nil {
		return fmt.Errorf("remove the data of a killed run's nodes: %w", err)
	}
	return nil
}

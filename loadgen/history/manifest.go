package history

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// Names in a run's folder.
const (
	ManifestFile   = "manifest.json"
	EventsFile     = "events.jsonl"
	SegmentsDir    = "history"
	OperationsFile = "operations.parquet"
)

const (
	manifestSchema = "fivenines-manifest/v1"
	maxTrials      = 1 << 20  // whoever counts trials may loop over them
	maxManifest    = 16 << 20 // bytes; 200 regions with all their round trips are 2 MB
)

// Validate says what is wrong with the manifest, naming the field.
func (m *Manifest) Validate() error {
	switch {
	case m.Schema != manifestSchema:
		return fmt.Errorf("schema: %q is not %s, which this program reads; use the fivenines that wrote it", m.Schema, manifestSchema)
	case len(m.Regions) > 256:
		return fmt.Errorf("regions: %d, at most 256 fit a history", len(m.Regions))
	case len(m.Nodes) > NoNode:
		return fmt.Errorf("nodes: %d, at most %d fit a history", len(m.Nodes), NoNode)
	case m.Partitions < 0 || m.Partitions > 1<<16:
		return fmt.Errorf("partitions: %d is not from 0 to %d", m.Partitions, 1<<16)
	case m.Trials < 0 || m.Trials > maxTrials:
		return fmt.Errorf("trials: %d is not from 0 to %d", m.Trials, maxTrials)
	case m.Sessions < 0:
		return fmt.Errorf("sessions: %d is negative", m.Sessions)
	case m.Deadline < 0:
		return fmt.Errorf("deadline_ns: %d is negative", m.Deadline)
	}
	return nil
}

// writeManifest puts the manifest in place in one step: what Open finds is whole.
func writeManifest(dir string, m *Manifest) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the manifest: %w", err)
	}
	return writeWhole(filepath.Join(dir, ManifestFile), func(f *os.File) error {
		_, err := f.Write(append(b, '\n'))
		return err
	})
}

// writeWhole writes a file under a temporary name and gives it its own once it
// is complete and on disk.
func writeWhole(path string, write func(*os.File) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.partial")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func readManifest(dir string) (Manifest, error) {
	path := filepath.Join(dir, ManifestFile)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Manifest{}, noRun(dir)
	}
	if err != nil {
		return Manifest{}, fmt.Errorf("open the run's manifest: %w", err)
	}
	defer f.Close()
	m, err := decodeManifest(f)
	if err != nil {
		return Manifest{}, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func decodeManifest(r io.Reader) (Manifest, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxManifest+1))
	if err != nil {
		return Manifest{}, err
	}
	if len(b) > maxManifest {
		return Manifest{}, fmt.Errorf("it has more than %d MiB and can't be a manifest", maxManifest>>20)
	}
	var m Manifest
	if err := json.Unmarshal(b, &m); err != nil {
		return Manifest{}, fmt.Errorf("it is no manifest: %w", err)
	}
	return m, m.Validate()
}

// noRun says that dir holds no run, and where one may be.
func noRun(dir string) error {
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("open the run: %w; name the folder that `fivenines run` wrote (--out)", err)
	}
	if runs, _ := filepath.Glob(filepath.Join(globEscape(dir), "*", ManifestFile)); len(runs) > 0 {
		slices.Sort(runs)
		return fmt.Errorf("%s holds no run itself (no %s); name one of the %d in it, such as %s", dir, ManifestFile, len(runs), filepath.Dir(runs[len(runs)-1]))
	}
	return fmt.Errorf("%s holds no run (no %s); name the folder that `fivenines run` wrote (--out)", dir, ManifestFile)
}

func globEscape(s string) string {
	var b []byte
	for i := range len(s) {
		switch s[i] {
		case '*', '?', '[', '\\':
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return string(b)
}

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// upState is what up keeps on disk for status and down, and what status --json prints.
type upState struct {
	PID      int        `json:"pid"` // of the process that holds everything
	Since    time.Time  `json:"since"`
	Backend  string     `json:"backend"`
	Target   string     `json:"target"`
	Mutant   string     `json:"mutant,omitempty"`
	Topology string     `json:"topology"`
	Dir      string     `json:"dir"`
	Archive  string     `json:"archive,omitempty"` // where the committed log goes
	Ready    bool       `json:"ready"`
	Nodes    []upNode   `json:"nodes"`
	Regions  []upRegion `json:"regions"`
	// Services are what runs beside the nodes: load balancers and monitoring.
	Services []upService `json:"services,omitempty"`
	// DNS is the one address of the zone's DNS servers, UDP and TCP.
	DNS  string `json:"dns,omitempty"`
	Zone string `json:"zone,omitempty"`
}

type upNode struct {
	ID     string `json:"id"`
	Region string `json:"region"`
	PID    int    `json:"pid"`
	State  string `json:"state"`
	RESP   string `json:"resp"`
	Admin  string `json:"admin"`
	Leads  []int  `json:"shards_led"`
}

// upRegion is where the clients of a region enter.
type upRegion struct {
	Name    string   `json:"name"`
	Role    string   `json:"role"`
	Entries []string `json:"client_entries"` // through the region's links, the nearest first
	// Balancer is the region's load balancer, through the link.
	Balancer string `json:"balancer,omitempty"`
}

type upService struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	Region string `json:"region,omitempty"`
	State  string `json:"state"`
}

// stateFile is up's file. Its lock is held for as long as up lives, so that
// what an up left that was killed is never taken for one that runs.
type stateFile struct {
	f    *os.File
	path string
}

// statePath is where the state of a name lies.
func statePath(name string) string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("fivenines-%d", os.Getuid()), "up", name+".json")
}

// claimState makes the state of a name ours.
func claimState(name string) (*stateFile, error) {
	path := statePath(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the state: %w", err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the state: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errAlreadyUp(name)
		}
		return nil, fmt.Errorf("lock the state: %w", err)
	}
	s := &stateFile{f: f, path: path}
	return s, s.clearTemp()
}

func errAlreadyUp(name string) error {
	return fmt.Errorf("%q is up already; fivenines status shows it, fivenines down ends it, --name gives this one another name", name)
}

func errComingUp(name string) error {
	return runError(fmt.Errorf("%q is still coming up, its nodes are not ready yet; ask again in some seconds, or fivenines down ends it", name))
}

// clearTemp removes the temporary data of an up of this name that was killed.
func (s *stateFile) clearTemp() error {
	b, err := os.ReadFile(s.path)
	if err != nil {
		return fmt.Errorf("read the state: %w", err)
	}
	var old upState
	if json.Unmarshal(b, &old) != nil || filepath.Dir(old.Dir) != filepath.Clean(os.TempDir()) || !strings.HasPrefix(filepath.Base(old.Dir), tempPrefix) {
		return nil // new, torn, or a folder that the user named
	}
	return os.RemoveAll(old.Dir)
}

// clearAbandoned removes what ups of any name left that were killed.
func clearAbandoned() error {
	left, err := filepath.Glob(statePath("*"))
	if err != nil {
		return fmt.Errorf("look for what was left: %w", err)
	}
	var errs []error
	for _, path := range left {
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		if _, err := readState(name); !errors.Is(err, errNotUp) {
			continue // somebody holds it
		}
		if s, err := claimState(name); err == nil {
			errs = append(errs, s.release())
		}
	}
	return errors.Join(errs...)
}

// write replaces the state. The file stays the same one, since its lock is
// what counts; a reader that sees half of it reads again.
func (s *stateFile) write(st *upState) error {
	b, err := json.MarshalIndent(st, "", "  ")
	if err != nil {
		return err
	}
	if err := s.f.Truncate(0); err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	if _, err := s.f.WriteAt(append(b, '\n'), 0); err != nil {
		return fmt.Errorf("write the state: %w", err)
	}
	return nil
}

// release ends the claim; the file goes while it is locked.
func (s *stateFile) release() error {
	return errors.Join(os.Remove(s.path), s.f.Close())
}

// errNotUp says that nothing of a name runs.
var errNotUp = errors.New("is not up")

// readState returns the state of a name that is up.
func readState(name string) (*upState, error) {
	f, err := os.Open(statePath(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNotUp
	}
	if err != nil {
		return nil, fmt.Errorf("read the state: %w", err)
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		return nil, errNotUp // whoever wrote it is gone
	}
	for try := 0; ; try++ {
		st := &upState{}
		b, err := os.ReadFile(f.Name())
		if errors.Is(err, fs.ErrNotExist) {
			return nil, errNotUp
		}
		if err == nil {
			if err = json.Unmarshal(b, st); err == nil {
				return st, nil
			}
		}
		if try == 20 {
			return nil, fmt.Errorf("read the state %s: %w", f.Name(), err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

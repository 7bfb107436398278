package recovery

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/fivenines/fivenines/reference/internal/disk"
)

// Seed is what a replica begins a new incarnation with: everything up to Index
// as a snapshot, in a configuration of its own, and no log behind it.
type Seed struct {
	Group       uint32
	Index, Term uint64
	Voters      []uint64 // Raft identities
	Learners    []uint64
	Data        []byte // of the state machine
}

const (
	dataFolder = "data"      // below a node's folder; node.Config.Dir
	nextFolder = "data.next" // being made
	doneMarker = "COMPLETE"  // in nextFolder: it may take the place of dataFolder
)

// Data is the folder of a node's disk.
func Data(dir string) string { return filepath.Join(dir, dataFolder) }

// Prepare makes the data of a node beside those in use. Nothing else is touched.
func Prepare(dir string, id disk.Identity, seeds []Seed) (err error) {
	next := filepath.Join(dir, nextFolder)
	if err := os.RemoveAll(next); err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	s, err := disk.Open(disk.Options{Dir: next})
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, s.Close())
		if err == nil {
			err = touch(filepath.Join(next, doneMarker))
		}
	}()
	for _, g := range seeds {
		cs := &raftpb.ConfState{Voters: g.Voters, Learners: g.Learners}
		meta := &raftpb.SnapshotMetadata{Index: new(g.Index), Term: new(g.Term), ConfState: cs}
		hs := &raftpb.HardState{Term: new(g.Term), Vote: new(uint64(0)), Commit: new(g.Index)}
		if err := s.Commit(&disk.Batch{Appends: []disk.Append{{Group: g.Group, Snapshot: &disk.Snapshot{Meta: meta, Data: g.Data}, HardState: hs}}}); err != nil {
			return err
		}
	}
	return s.SetIdentity(id)
}

// Install puts what Prepare made in the place of a node's data, which are set
// aside under the name of what they were (aside). The node must not run. A
// crash in between is finished by the next [Finish].
func Install(dir, aside string) error {
	if _, err := os.Stat(filepath.Join(dir, nextFolder, doneMarker)); err != nil {
		return fmt.Errorf("recovery: nothing complete is prepared: %w", err)
	}
	if err := SetAside(dir, aside); err != nil {
		return err
	}
	return Finish(dir)
}

// SetAside renames a node's data, so that its disk is empty.
func SetAside(dir, aside string) error {
	to := filepath.Join(dir, aside)
	if err := os.RemoveAll(to); err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	if err := os.Rename(Data(dir), to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("recovery: set the old data aside: %w", err)
	}
	// What a disk had synced says nothing about the next one (package disk).
	if err := os.RemoveAll(Data(dir) + ".synced"); err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	return syncDir(dir)
}

// Finish completes an Install that a crash cut short: what was prepared takes
// its place if nothing is there. A node calls it before it opens its disk.
func Finish(dir string) error {
	next := filepath.Join(dir, nextFolder)
	if _, err := os.Stat(filepath.Join(next, doneMarker)); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	if _, err := os.Stat(Data(dir)); err == nil {
		return nil // prepared, and never said to be installed
	}
	if err := os.Rename(next, Data(dir)); err != nil {
		return fmt.Errorf("recovery: put the new data in place: %w", err)
	}
	if err := os.Remove(filepath.Join(Data(dir), doneMarker)); err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	return syncDir(dir)
}

func touch(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	return nil
}

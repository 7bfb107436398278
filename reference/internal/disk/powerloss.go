package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
)

type lost struct {
	bytes int64
	names int
}

const page = 4096

// dropUnsynced makes root what a loss of power would have left of it. Of what
// was not synced, seed decides what luck keeps: some of the newest names, in
// their order; of each file a piece of its tail, with zeroes or garbage behind it.
func dropUnsynced(root string, seed int64) (lost, error) {
	var l lost
	names, err := filesUnder(root)
	if err != nil {
		return l, err
	}
	rec, where, err := readRecord(root)
	switch {
	case errors.Is(err, fs.ErrNotExist) && len(names) == 0:
		return l, os.RemoveAll(recordDir(root)) // a new disk
	case errors.Is(err, fs.ErrNotExist):
		return l, fmt.Errorf("what was synced is not known, the node has to run with its recording on before: %w", err)
	case err != nil:
		return l, err
	}
	rng := rand.New(rand.NewPCG(uint64(seed), 0x6c6f7374)) // "lost"
	kept := 0
	if len(rec.pending) > 0 && rng.IntN(2) == 0 {
		kept = rng.IntN(len(rec.pending) + 1)
	}
	l.names = len(rec.pending) - kept
	target := rec.durable
	durable := map[uint64]bool{}
	for _, ino := range target {
		durable[ino] = true
	}
	for _, o := range rec.pending[:kept] {
		o.apply(target)
	}

	// Everything is set aside, then what is left gets its names back. Done twice
	// by a node that was killed in between, it ends the same.
	if err := os.MkdirAll(removedDir(root), 0o755); err != nil {
		return l, err
	}
	for _, name := range names {
		p := filepath.Join(root, filepath.FromSlash(name))
		ino, err := inode(p)
		if err != nil {
			return l, err
		}
		aside := filepath.Join(removedDir(root), strconv.FormatUint(ino, 10))
		if err := os.Rename(p, aside); err != nil {
			return l, err
		}
		if p == where[ino] || where[ino] == "" {
			where[ino] = aside
		}
	}
	placed := map[uint64]bool{}
	for _, name := range sortedNames(target) {
		ino := target[name]
		p := filepath.Join(root, filepath.FromSlash(name))
		from, ok := where[ino]
		switch {
		case !ok && durable[ino]:
			return l, fmt.Errorf("%s was synced and is gone: something else removed it", name)
		case !ok:
			continue // created and removed before it could be kept
		}
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return l, err
		}
		if placed[ino] {
			if err := os.Link(from, p); err != nil {
				return l, err
			}
			continue
		}
		if err := os.Rename(from, p); err != nil {
			return l, err
		}
		where[ino], placed[ino] = p, true
		n, err := tear(p, rec.synced[ino], rng)
		if err != nil {
			return l, err
		}
		l.bytes += n
	}
	after, err := everything(root)
	if err != nil {
		return l, err
	}
	if err := writeRecord(root, after); err != nil {
		return l, err
	}
	return l, os.RemoveAll(removedDir(root))
}

// tear cuts a file behind its synced bytes and returns how many were lost.
func tear(name string, synced int64, rng *rand.Rand) (int64, error) {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	n, err := tearFile(f, synced, rng)
	return n, errors.Join(err, f.Close())
}

func tearFile(f *os.File, synced int64, rng *rand.Rand) (int64, error) {
	fi, err := f.Stat()
	if err != nil {
		return 0, err
	}
	size := fi.Size()
	if size < synced {
		return 0, fmt.Errorf("%s has %d bytes, %d were synced: something else cut it", f.Name(), size, synced)
	}
	if size == synced {
		return 0, nil
	}
	end := synced
	if rng.IntN(4) > 0 {
		end += rng.Int64N(size - synced)
	}
	if err := f.Truncate(end); err != nil {
		return 0, err
	}
	// A disk writes whole pages, in any order: the size may have arrived without
	// the data (zeroes), or the rest of a page may be anything.
	switch rng.IntN(3) {
	case 0:
		err = f.Truncate(end + rng.Int64N(size-end+1))
	case 1:
		junk := make([]byte, min(size-end, page-end%page))
		for i := range junk {
			junk[i] = byte(rng.Uint32())
		}
		_, err = f.WriteAt(junk, end)
	}
	return size - end, err
}

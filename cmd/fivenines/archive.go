package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/fivenines/fivenines/fixtures"
)

// archiveIn tells the target where to archive, and returns where that is.
func (f *upFlags) archiveIn(dir string, target fixtures.Target) (string, error) {
	if f.archive == "" {
		return "", nil
	}
	a, ok := target.(fixtures.Archiver)
	if !ok {
		return "", fmt.Errorf("target %s has no archive: leave --archive out", target.Name())
	}
	where := f.archive
	if where == "dir" {
		where = filepath.Join(dir, "archive")
	}
	if !strings.Contains(where, "://") {
		var err error
		if where, err = filepath.Abs(where); err != nil {
			return "", err
		}
		if f.backend != "process" {
			return "", fmt.Errorf("--archive %s: containers share no directory; name a blob store by its URL", f.archive)
		}
	}
	a.UseArchive(where)
	return where, nil
}

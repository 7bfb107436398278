//go:build unix

package disk

import (
	"fmt"
	"os"
	"syscall"
)

// inode identifies a file however it is named.
func inode(path string) (uint64, error) {
	fi, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, fmt.Errorf("%s has no inode number", path)
	}
	return st.Ino, nil
}

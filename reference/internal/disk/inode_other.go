//go:build !unix

package disk

import "errors"

func inode(string) (uint64, error) {
	return 0, errors.New("synced bytes can be recorded on Unix only")
}

package target

import "github.com/fivenines/fivenines/fixtures"

var _ fixtures.Archiver = (*Reference)(nil)

// UseArchive implements fixtures.Archiver.
func (r *Reference) UseArchive(where string) {
	r.mu.Lock()
	r.archive = where
	r.mu.Unlock()
}

func (r *Reference) archiveOf() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.archive
}

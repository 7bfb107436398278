package scenarios

import (
	"path/filepath"
	"slices"

	"github.com/fivenines/fivenines/faults"
	"github.com/fivenines/fivenines/fixtures"
)

// useArchive gives the target an archive beside the nodes' data if a fault of
// the scenario takes all of them away. On a backend without a common directory
// the fault finds none and says so.
func (t *trial) useArchive() {
	a, ok := t.opt.Target.(fixtures.Archiver)
	if !ok {
		return
	}
	where := ""
	if slices.ContainsFunc(t.spec.Faults, func(f FaultSpec) bool { return f.Kind == faults.AllRegionsLoss }) {
		where = filepath.Join(t.workDir, "archive")
	}
	a.UseArchive(where)
}

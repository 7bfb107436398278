package main

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const module = "github.com/fivenines/fivenines/"

// arrows are which packages of this module a package may reach, directly or
// through others. They keep the verdict independent of the system that it
// judges, and of how the record was made.
var arrows = []struct {
	from string // the package and what is below it
	may  []string
	why  string
}{
	{"loadgen/history", []string{"loadgen/history", "internal"}, "a record must be readable without anything that made it"},
	{"slo", []string{"slo", "loadgen/history", "internal"}, "the verdict comes from the record alone"},
	{"reports", []string{"reports", "slo", "loadgen/history", "internal"}, "reports show the result and know nothing else"},
	{"faults", []string{"faults", "fixtures", "docker", "loadgen/history", "internal"}, "faults see the deployment and nothing of load or verdict"},
	{"loadgen", []string{"loadgen", "fixtures", "docker", "internal"}, "load sees where clients stand and nothing of faults or verdict"},
	{"fixtures", []string{"fixtures", "docker", "loadgen/history", "internal"}, "what a run stands on knows nothing of the run"},
	// The Go test API (the package at the top of the module) is harness too: who
	// tests a system of their own must not pull in the platform that comes with it.
	{root, []string{root, "scenarios", "fixtures", "faults", "loadgen", "slo", "reports", "docker", "internal"}, "the Go test API must not import the platform"},
	{"scenarios", []string{"scenarios", "fixtures", "faults", "loadgen", "slo", "reports", "docker", "internal"}, "the harness must not import the platform that it judges"},
}

// root is how the package at the top of the module is called here.
const root = "."

// joints are the packages that may join the harness and the platform: the command
// line, and what hands the platform to the Go test API.
var joints = []string{"cmd/fivenines", "reference/undertest"}

// joined lists the packages beside the joints that reach both.
func joined(imports map[string][]string) (found []string) {
	for _, pkg := range slices.Sorted(keys(imports)) {
		reaches := func(what string) bool {
			return within(pkg, what) || shortest(imports, pkg, func(p string) bool { return !within(p, what) }) != nil
		}
		if reaches("scenarios") && reaches("reference") && !slices.Contains(joints, pkg) {
			found = append(found, pkg)
		}
	}
	return found
}

// within says whether a package is the folder or below it.
func within(pkg, folder string) bool { return pkg == folder || strings.HasPrefix(pkg, folder+"/") }

// strays lists, for every package that an arrow is about, the shortest path to
// something that it may not reach.
func strays(imports map[string][]string) []string {
	var found []string
	for _, a := range arrows {
		for _, pkg := range slices.Sorted(keys(imports)) {
			if !within(pkg, a.from) || a.from == "loadgen" && within(pkg, "loadgen/history") {
				continue
			}
			allowed := func(p string) bool {
				return slices.ContainsFunc(a.may, func(m string) bool { return within(p, m) })
			}
			if path := shortest(imports, pkg, allowed); path != nil {
				found = append(found, strings.Join(path, " -> ")+": "+a.why)
			}
		}
	}
	return found
}

// shortest is the shortest import path from a package to one that is not allowed.
func shortest(imports map[string][]string, from string, allowed func(string) bool) []string {
	queue := [][]string{{from}}
	seen := map[string]bool{from: true}
	for len(queue) > 0 {
		path := queue[0]
		queue = queue[1:]
		for _, next := range imports[path[len(path)-1]] {
			if seen[next] {
				continue
			}
			seen[next] = true
			longer := append(slices.Clone(path), next)
			if !allowed(next) {
				return longer
			}
			queue = append(queue, longer)
		}
	}
	return nil
}

func keys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func TestImportsFollowTheFlow(t *testing.T) {
	imports := moduleImports(t)
	require.Contains(t, imports, "scenarios", "the graph is that of this module")
	require.Contains(t, imports["cmd/fivenines"], "scenarios")
	for _, a := range arrows {
		assert.Contains(t, imports, a.from, "an arrow about a package that is not there guards nothing")
	}
	assert.Empty(t, strays(imports))
	assert.Empty(t, joined(imports), "only %v may join the harness and the platform", joints)
}

// The checker finds what is planted, shows the whole path, and is quiet
// otherwise.
func TestPlantedImportsAreFound(t *testing.T) {
	good := map[string][]string{
		root:               {"scenarios", "fixtures/process"},
		"scenarios":        {"fixtures", "slo", "loadgen", "reports", "faults"},
		"slo":              {"slo/checker", "loadgen/history"},
		"slo/checker":      {"loadgen/history"},
		"reports":          {"slo"},
		"loadgen":          {"loadgen/history", "loadgen/resp"},
		"faults":           {"fixtures"},
		"fixtures/process": {"fixtures", "internal/procfs"},
		"cmd/fivenines":    {"scenarios", "reference/target", "reference"},
		"reference/target": {"fixtures", "reference"},

		"reference/undertest": {root, "reference/target"},
	}
	require.Empty(t, strays(good))
	require.Empty(t, joined(good))
	for in, imported := range map[string]string{"reference/target": "scenarios", "docker/stack/cmd": "reference/undertest", "reference": root} {
		bad := maps.Clone(good)
		bad[in] = append(slices.Clone(bad[in]), imported)
		assert.Contains(t, joined(bad), in)
	}
	for _, c := range []struct{ in, imports, want string }{
		{"fixtures/process", "reference", "scenarios -> fixtures/process -> reference: the harness must not import"},
		{"fixtures/process", "reference", "fixtures/process -> reference: "},
		{"slo/checker", "fixtures", "slo -> slo/checker -> fixtures: the verdict comes from the record alone"},
		{"reports", "fixtures", "reports -> fixtures: "},
		{"loadgen", "faults", "loadgen -> faults: "},
		{"loadgen/history", "loadgen", "loadgen/history -> loadgen: "},
		{"faults", "slo", "faults -> slo: "},
		{"scenarios", "cmd/fivenines", "scenarios -> cmd/fivenines: "},
		{root, "reference/undertest", ". -> reference/undertest: the Go test API"},
		{"fixtures", root, "fixtures -> .: "},
	} {
		bad := map[string][]string{}
		for k, v := range good {
			bad[k] = v
		}
		bad["scenarios"] = append(slices.Clone(bad["scenarios"]), "fixtures/process")
		bad[c.in] = append(slices.Clone(bad[c.in]), c.imports)
		found := strays(bad)
		assert.True(t, slices.ContainsFunc(found, func(s string) bool { return strings.HasPrefix(s, c.want) }), "%s importing %s: %q", c.in, c.imports, found)
	}
}

// local is a package's path inside the module.
func local(path string) string {
	if path == strings.TrimSuffix(module, "/") {
		return root
	}
	return strings.TrimPrefix(path, module)
}

// moduleImports is what each package of this module imports of it, without tests.
func moduleImports(t *testing.T) map[string][]string {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports", module+"...")
	out, err := cmd.Output()
	require.NoError(t, err, "go list")
	imports := map[string][]string{}
	d := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p struct {
			ImportPath string
			Imports    []string
		}
		err := d.Decode(&p)
		if errors.Is(err, io.EOF) {
			return imports
		}
		require.NoError(t, err)
		name := local(p.ImportPath)
		imports[name] = []string{}
		for _, i := range p.Imports {
			if i == strings.TrimSuffix(module, "/") || strings.HasPrefix(i, module) {
				imports[name] = append(imports[name], local(i))
			}
		}
	}
}

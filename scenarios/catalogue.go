package scenarios

import (
	"embed"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/internal/closest"
)

//go:embed catalogue/*.yaml
var catalogueFS embed.FS

// Entry is a scenario of the catalogue.
type Entry struct {
	Name        string
	Description string
	Spec        *Spec
}

var catalogue = sync.OnceValue(func() []Entry {
	files, err := catalogueFS.ReadDir("catalogue")
	if err != nil {
		panic(err)
	}
	var es []Entry
	for _, f := range files {
		b, err := catalogueFS.ReadFile(path.Join("catalogue", f.Name()))
		if err != nil {
			panic(err)
		}
		s, err := Decode(f.Name(), b)
		if err != nil {
			panic(err) // the embedded files are covered by a test
		}
		es = append(es, Entry{Name: s.Name, Description: s.Description, Spec: s})
	}
	return es
})

// Catalogue lists the scenarios that come with fivenines, by name.
func Catalogue() []Entry {
	es := slices.Clone(catalogue())
	for i := range es {
		es[i].Spec = es[i].Spec.Clone()
	}
	return es
}

// Named returns a scenario of the catalogue.
func Named(name string) (*Spec, error) {
	var names []string
	for _, e := range catalogue() {
		if e.Name == name {
			return e.Spec.Clone(), nil
		}
		names = append(names, e.Name)
	}
	return nil, fmt.Errorf("no scenario is called %q; %s", name, closest.Meant(name, names))
}

// topologies by name.
var topologies = map[string]func() *fixtures.Topology{
	"three-region":  fixtures.ThreeRegion,
	"three-node":    ThreeNode,
	"active-active": ActiveActive,
}

// Topology returns an embedded topology.
func Topology(name string) (*fixtures.Topology, error) {
	if t, ok := topologies[name]; ok {
		return t(), nil
	}
	return nil, fmt.Errorf("no topology is called %q; %s, or the path of a file", name, strings.TrimSuffix(closest.Meant(name, TopologyNames()), "?"))
}

// TopologyNames lists the embedded topologies.
func TopologyNames() []string { return slices.Sorted(maps.Keys(topologies)) }

// ActiveActive is the default topology with two regions that lead together.
func ActiveActive() *fixtures.Topology {
	t := fixtures.ThreeRegion()
	t.Name = "active-active"
	t.Regions[0].Role, t.Regions[1].Role = fixtures.Active, fixtures.Active
	return t
}

// ThreeNode is the smallest topology with a quorum: one node a region and
// short links, for machines and tests with little time.
func ThreeNode() *fixtures.Topology {
	ms := func(n int) fixtures.Duration { return dur(time.Duration(n) * time.Millisecond) }
	return &fixtures.Topology{
		Name: "three-node",
		Regions: []fixtures.Region{
			{Name: "us-east-1", Role: fixtures.Primary, Nodes: 1},
			{Name: "eu-west-1", Role: fixtures.Secondary, Nodes: 1},
			{Name: "ap-southeast-1", Role: fixtures.Tertiary, Nodes: 1},
		},
		Links: []fixtures.Path{
			{Between: [2]string{"us-east-1", "eu-west-1"}, RTT: ms(10)},
			{Between: [2]string{"us-east-1", "ap-southeast-1"}, RTT: ms(20)},
			{Between: [2]string{"eu-west-1", "ap-southeast-1"}, RTT: ms(20)},
		},
		LocalRTT: dur(500 * time.Microsecond),
		Shards:   12,
		Replicas: 3,
	}
}

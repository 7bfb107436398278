package faults

import (
	"fmt"
	"slices"
	"strings"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/internal/closest"
)

// KindInfo describes a kind of fault for a person.
type KindInfo struct {
	Kind    string      `json:"kind"`
	Summary string      `json:"summary"`
	Params  []ParamInfo `json:"params,omitempty"`
}

// ParamInfo describes a parameter. One without a default must be given.
type ParamInfo struct {
	Name    string   `json:"name"`
	Default string   `json:"default,omitempty"`
	Values  []string `json:"values,omitempty"` // the only ones allowed; empty: see Help
	Help    string   `json:"help"`
}

type kind struct {
	info KindInfo
	// make chooses the victims. spec has every parameter, defaults included.
	make func(spec Spec, topo *fixtures.Topology) (Fault, error)
}

// kinds is the catalogue, by name.
var kinds = map[string]kind{}

// catalogue is called by the file of each kind.
func catalogue(info KindInfo, make func(Spec, *fixtures.Topology) (Fault, error)) {
	kinds[info.Kind] = kind{info, make}
}

// Kinds lists the catalogue in alphabetical order.
func Kinds() []KindInfo {
	var ks []KindInfo
	for _, k := range kinds {
		ks = append(ks, k.info)
	}
	slices.SortFunc(ks, func(a, b KindInfo) int { return strings.Compare(a.Kind, b.Kind) })
	return ks
}

// New makes a fault and chooses its victims.
func New(name string, params map[string]string, topo *fixtures.Topology) (Fault, error) {
	k, ok := kinds[name]
	if !ok {
		var names []string
		for _, i := range Kinds() {
			names = append(names, i.Kind)
		}
		return nil, fmt.Errorf("no fault is called %q; %s", name, closest.Meant(name, names))
	}
	spec := Spec{Kind: name, Params: map[string]string{}}
	for _, p := range k.info.Params {
		v, given := params[p.Name]
		switch {
		case !given && p.Default == "":
			return nil, fmt.Errorf("%s: parameter %s is missing: %s", name, p.Name, p.Help)
		case !given:
			v = p.Default
		case len(p.Values) > 0 && !slices.Contains(p.Values, v):
			return nil, fmt.Errorf("%s: %s=%s is not one of %s%s", name, p.Name, v, strings.Join(p.Values, ", "), perhaps(v, p.Values))
		}
		spec.Params[p.Name] = v
	}
	for p := range params {
		if _, ok := spec.Params[p]; !ok {
			return nil, fmt.Errorf("%s has no parameter %q; it has %s", name, p, strings.Join(paramNames(k.info), ", "))
		}
	}
	f, err := k.make(spec, topo)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

func paramNames(i KindInfo) []string {
	var names []string
	for _, p := range i.Params {
		names = append(names, p.Name)
	}
	return names
}

// perhaps adds what a typo probably meant to a list of all.
func perhaps(word string, words []string) string {
	if c := closest.To(word, words); c != "" {
		return "; did you mean " + c + "?"
	}
	return ""
}

package main

import (
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/fixtures/container"
	"github.com/fivenines/fivenines/fixtures/process"
	"github.com/fivenines/fivenines/internal/closest"
	"github.com/fivenines/fivenines/reference/target"
)

// backends and targets by the names that flags give them. This is where the
// harness meets what implements its interfaces.
var (
	backends = map[string]func() (fixtures.Backend, error){
		"process":   func() (fixtures.Backend, error) { return processes() },
		"container": func() (fixtures.Backend, error) { return containers() },
	}
	targets = map[string]func() (fixtures.Target, error){
		"reference": func() (fixtures.Target, error) {
			// A node of the platform is this very program, started as
			// "fivenines node".
			self, err := os.Executable()
			if err != nil {
				return nil, fmt.Errorf("find the program that nodes are started from: %w", err)
			}
			return target.New(self), nil
		},
	}
)

// processes is the process backend. Its load balancers are this very program,
// started as "fivenines balancer".
func processes() (*process.Backend, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the program that load balancers are started from: %w", err)
	}
	return process.New(process.Options{Balancer: fixtures.Command{Path: self, Args: []string{"balancer"}}}), nil
}

// containers is the container backend. The links between its regions are this
// very program, started as "fivenines links".
func containers() (*container.Backend, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the program that holds the links: %w", err)
	}
	return container.New(container.Options{Links: fixtures.Command{Path: self, Args: []string{"links"}}, Services: true}), nil
}

// reapers are the backends that can remove what killed runs left.
func reapers() map[string]fixtures.Reaper {
	b, err := containers()
	if err != nil {
		return nil
	}
	return map[string]fixtures.Reaper{b.Name(): b}
}

func backendNamed(name string) (fixtures.Backend, error) { return named("backend", name, backends) }
func targetNamed(name string) (fixtures.Target, error)   { return named("target", name, targets) }

func named[T any](what, name string, all map[string]func() (T, error)) (T, error) {
	if mk, ok := all[name]; ok {
		return mk()
	}
	var none T
	return none, usageError("no %s is called %q; %s", what, name, closest.Meant(name, slices.Sorted(maps.Keys(all))))
}

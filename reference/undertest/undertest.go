// Package undertest hands the platform that comes with fivenines to
// fivenines.Test:
//
//	fivenines.Test(t, "region-loss", undertest.Reference(), fivenines.InShort())
//
// Nodes of the platform are processes of the fivenines program. A test binary is
// not that program, so it is given by [Program] or $FIVENINES_PROGRAM, or built
// once and kept below the user's cache folder (see [Build]).
package undertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"

	"github.com/fivenines/fivenines"
	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/fixtures/container"
	"github.com/fivenines/fivenines/fixtures/process"
	"github.com/fivenines/fivenines/reference/target"
)

// ProgramEnv names the fivenines program to start nodes from.
const ProgramEnv = "FIVENINES_PROGRAM"

type config struct {
	program    string
	containers bool
}

// Setting of [Reference].
type Setting func(*config)

// Program is the fivenines program to start nodes from.
func Program(path string) Setting { return func(c *config) { c.program = path } }

// InContainers runs the nodes in containers instead of processes.
func InContainers() Setting { return func(c *config) { c.containers = true } }

// Reference tests the platform that comes with fivenines.
func Reference(settings ...Setting) fivenines.Option {
	c := config{program: os.Getenv(ProgramEnv)}
	for _, s := range settings {
		s(&c)
	}
	return fivenines.Under(c.system)
}

func (c config) system(ctx context.Context) (fivenines.System, error) {
	program, err := c.find(ctx)
	if err != nil {
		return fivenines.System{}, err
	}
	// What one of these left that was killed, any run removes.
	containers := container.New(container.Options{Links: fixtures.Command{Path: program, Args: []string{"links"}}, Services: true})
	sys := fivenines.System{
		Target:  target.New(program),
		Backend: process.New(process.Options{Balancer: fixtures.Command{Path: program, Args: []string{"balancer"}}}),
		Reapers: map[string]fixtures.Reaper{containers.Name(): containers},
	}
	if c.containers {
		sys.Backend = containers
	}
	return sys, nil
}

func (c config) find(ctx context.Context) (string, error) {
	if c.program == "" {
		return Build(ctx)
	}
	path, err := exec.LookPath(c.program)
	if err != nil {
		return "", fmt.Errorf("the fivenines program (undertest.Program, $%s): %w", ProgramEnv, err)
	}
	return path, nil
}

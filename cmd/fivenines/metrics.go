package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/fivenines/fivenines/loadgen/livemetrics"
)

// metricsFlags make a Prometheus endpoint of a command that runs scenarios.
type metricsFlags struct {
	addr     string
	anywhere bool
	shown    *livemetrics.Metrics // nil: nobody asked for them
}

func (f *metricsFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.addr, "metrics", "", "serve Prometheus metrics at this address while it runs, such as 127.0.0.1:9464; port 0 takes a free one (default off)")
	fl.BoolVar(&f.anywhere, "metrics-anywhere", false, "allow --metrics on an address that other machines reach")
}

// serve begins to serve, and says where unless quiet; end stops it.
func (f *metricsFlags) serve(cmd *cobra.Command, quiet bool) (end func(), err error) {
	if f.addr == "" {
		return func() {}, nil
	}
	m := livemetrics.New()
	s, err := livemetrics.Serve(m, f.addr, f.anywhere)
	switch {
	case errors.Is(err, livemetrics.ErrNotLoopback):
		return nil, usageError("--metrics: %w; name 127.0.0.1, or add --metrics-anywhere if others are to see them", err)
	case err != nil:
		return nil, usageError("--metrics: %w", err)
	}
	f.shown = m
	if !quiet {
		fmt.Fprintf(cmd.ErrOrStderr(), "fivenines: metrics at %s\n", s.URL())
	}
	return func() { complain(cmd.ErrOrStderr(), s.Close()) }, nil
}

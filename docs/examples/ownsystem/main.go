// Command ownsystem judges a system that fivenines does not know: the session store in
// ./server. docs/howto-own-go-system.md explains it.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/fivenines/fivenines/fixtures/process"
	"github.com/fivenines/fivenines/reports"
	"github.com/fivenines/fivenines/scenarios"
	"github.com/fivenines/fivenines/slo"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	code, err := run(ctx)
	if err != nil {
		fmt.Fprintln(os.Stderr, "ownsystem:", err)
	}
	os.Exit(code)
}

func run(ctx context.Context) (code int, err error) {
	server := flag.String("server", "", "the program to judge")
	mutant := flag.String("mutant", "", "start it broken on purpose")
	out := flag.String("out", "", "the run's folder, new or empty")
	flag.Parse()
	if flag.NArg() != 1 || *server == "" || *out == "" {
		return 2, fmt.Errorf("it is used as: ownsystem --server PROGRAM --out FOLDER SCENARIO.yaml")
	}
	spec, err := scenarios.Load(flag.Arg(0))
	if err != nil {
		return 2, err
	}
	program, err := filepath.Abs(*server)
	if err != nil {
		return 2, err
	}
	result, err := scenarios.Run(ctx, spec, scenarios.Options{
		Backend: process.New(process.Options{}),
		Target:  target{program},
		Out:     *out,
		Mutant:  *mutant,
	})
	if err != nil {
		return 3, err
	}
	if err := reports.Terminal(os.Stdout, result, false); err != nil {
		return 3, err
	}
	return map[slo.Verdict]int{slo.Met: 0, slo.Missed: 1, slo.Inconclusive: 3}[result.Verdict], nil
}

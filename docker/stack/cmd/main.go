// Command cmd writes the generated files of docker/, or gives a running stack
// the delays of the topology.
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/fivenines/fivenines/docker/stack"
	"github.com/fivenines/fivenines/fixtures"
)

func main() {
	write := flag.String("write", "", "folder (docker) in which to write the generated files")
	delay := flag.String("delay", "", "address of Toxiproxy's API (127.0.0.1:8474): give its links the topology's delays")
	flag.Parse()
	var err error
	switch t := fixtures.ThreeRegion(); {
	case *write != "" && *delay == "":
		err = stack.Write(*write, t)
	case *delay != "" && *write == "":
		err = stack.Delay(*delay, t)
	default:
		err = fmt.Errorf("say either -write FOLDER or -delay ADDRESS")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stack:", err)
		os.Exit(1)
	}
}

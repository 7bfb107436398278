package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"path/filepath"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/loadgen/history"
)

// target tells fivenines how the session store is started and spoken to.
type target struct {
	server string // the program
}

func (target) Name() string { return "sessions" }

// memoryOnly is the store without its log: what a test must find.
const memoryOnly = "memory-only"

func (target) Mutants() []string { return []string{memoryOnly} }

// Command says how one node is started. It may write files below spec.Dir, which
// survives a restart.
func (t target) Command(spec fixtures.NodeSpec, opt fixtures.StartOptions) (fixtures.Command, error) {
	args := []string{"-listen", spec.Listen[fixtures.PortClient], "-peer", spec.Listen[fixtures.PortPeer]}
	switch opt.Mutant {
	case "":
		args = append(args, "-log", filepath.Join(spec.Dir, "sessions.log"))
	case memoryOnly:
	default:
		return fixtures.Command{}, fmt.Errorf("sessions has no mutant %q", opt.Mutant)
	}
	return fixtures.Command{Path: t.server, Args: args}, nil
}

// Ready is asked until it returns nil: the node serves.
func (t target) Ready(ctx context.Context, spec fixtures.NodeSpec) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", spec.Listen[fixtures.PortClient])
	if err != nil {
		return err
	}
	defer conn.Close()
	return t.Probe(ctx, conn, fixtures.PortClient)
}

// Probe is one small round trip over a connection that is there: the canary of a
// link, by which faults are proved.
func (target) Probe(ctx context.Context, conn net.Conn, port fixtures.Port) error {
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
		return err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err == nil && line != "+PONG\r\n" {
		err = fmt.Errorf("PING was answered with %q", line)
	}
	return err
}

// Events are none: times to detect are then those of the clients.
func (target) Events(context.Context, fixtures.NodeSpec, func(history.Event)) error {
	return fixtures.ErrNoEvents
}

// Driver is the protocol that the load speaks.
func (target) Driver() string { return "resp" }

// The store is not sharded: one partition, which every key belongs to.
func (target) Partitions() int        { return 1 }
func (target) PartitionOf(string) int { return 0 }

package faults

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/fivenines/fivenines/fixtures"
)

func init() {
	params := []ParamInfo{
		{Name: "node", Default: "primary:1", Help: helpNode},
		{Name: "size", Default: "1073741824", Help: "bytes of the disk that the node has from its start, 67108864 to 68719476736"},
	}
	catalogue(KindInfo{
		Kind:    "disk-full",
		Summary: "The disk under a node that runs is filled to the last byte, and stays full: its writes get ENOSPC.",
		Params:  params,
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		return newDisk(s, topo, fixtures.DiskFull, syscall.ENOSPC)
	})
	catalogue(KindInfo{
		Kind:    "disk-readonly",
		Summary: "The disk under a node that runs becomes read-only, as a file system does after an I/O error: its writes get EROFS, also on open files; undoing it mounts the disk anew, so that the node starts again.",
		Params:  params,
	}, func(s Spec, topo *fixtures.Topology) (Fault, error) {
		return newDisk(s, topo, fixtures.DiskReadOnly, syscall.EROFS)
	})
}

type disk struct {
	Spec
	node  string
	size  int64
	fault fixtures.DiskFault
	want  syscall.Errno // what a write gets
}

func newDisk(s Spec, topo *fixtures.Topology, fault fixtures.DiskFault, want syscall.Errno) (Fault, error) {
	node, err := chooseNode(topo, s.Params["node"])
	if err != nil {
		return nil, err
	}
	s.Params["node"] = node
	size, err := strconv.ParseInt(s.Params["size"], 10, 64)
	if err != nil || size < 64<<20 || size > 64<<30 {
		return nil, fmt.Errorf("size=%s is not a number from 67108864 to 68719476736", s.Params["size"])
	}
	return &disk{s, node, size, fault, want}, nil
}

func (f *disk) Kind() string { return f.Spec.Kind }

// Prepare asks for a disk of the node's own, the smallest that a fault wants.
func (f *disk) Prepare(opt *fixtures.UpOptions) {
	if opt.Disks == nil {
		opt.Disks = map[string]int64{}
	}
	if has := opt.Disks[f.node]; has == 0 || f.size < has {
		opt.Disks[f.node] = f.size
	}
}

func (f *disk) Available(d fixtures.Deployment) error {
	disks, ok := d.(fixtures.Disks)
	if !ok {
		return fmt.Errorf("%w: its nodes have no disks of their own; --backend container has", fixtures.ErrNotHere)
	}
	if err := known(d, []string{f.node}); err != nil {
		return err
	}
	return disks.CanBreakDisk(f.node)
}

func (f *disk) Parts(fixtures.Deployment) []string { return []string{f.node} }

// Effect: a node that can't write any more may end itself.
func (f *disk) Effect(d fixtures.Deployment) Effect {
	ls := towards(d.Links(), []string{f.node})
	e := Effect{Nodes: map[string]fixtures.NodeState{}, Cut: map[string]bool{}, Unsure: linkIDs(ls), Bound: bound(ls) + time.Second}
	e.Unsure[f.node] = true
	return e
}

func (f *disk) Inject(ctx context.Context, d fixtures.Deployment) error {
	disks, ok := d.(fixtures.Disks)
	if !ok {
		return fixtures.ErrNotHere
	}
	return disks.BreakDisk(ctx, f.node, f.fault)
}

// Confirm writes to the node's disk.
func (f *disk) Confirm(ctx context.Context, d fixtures.Deployment) (took, wrong []string) {
	disks, ok := d.(fixtures.Disks)
	if !ok {
		return nil, []string{fixtures.ErrNotHere.Error()}
	}
	switch err := disks.WriteDisk(ctx, f.node); {
	case err == nil:
		return nil, []string{f.node + ": its disk still takes writes"}
	case !errors.Is(err, f.want):
		return nil, []string{fmt.Sprintf("%s: a write to its disk should get %v: %s", f.node, f.want, strings.ReplaceAll(err.Error(), "\n", "; "))}
	}
	return []string{fmt.Sprintf("%s: a write to its disk gets: %v", f.node, f.want)}, nil
}

// Heal also starts a node again that ended itself. One that runs on over a
// disk that is read-only is killed first: nothing else gives it a writable one.
func (f *disk) Heal(ctx context.Context, d fixtures.Deployment) error {
	disks, ok := d.(fixtures.Disks)
	if !ok {
		return fixtures.ErrNotHere
	}
	if f.fault == fixtures.DiskReadOnly && errors.Is(disks.WriteDisk(ctx, f.node), f.want) {
		if err := d.Kill(ctx, f.node); err != nil {
			return err
		}
	}
	if err := disks.MendDisk(ctx, f.node); err != nil {
		return err
	}
	return revive(ctx, d, []string{f.node}, nil, fixtures.StartOptions{})
}

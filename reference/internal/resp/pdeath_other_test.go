//go:build !linux

package resp

import "os/exec"

func dieWithUs(*exec.Cmd) {}

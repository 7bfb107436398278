package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/fivenines/fivenines/fixtures/container"
	"github.com/fivenines/fivenines/scenarios"
)

// What a backend reports is what a run listens for.
func TestALostTunnelIsALostWay(t *testing.T) {
	assert.Equal(t, scenarios.WayLost, container.TunnelLost)
}

func TestSidecarsRefuseWhatTheyCannotDo(t *testing.T) {
	for _, args := range [][]string{{"tunnel"}, {"tunnel", "198.18.1.0"}, {"netfault"}, {"netfault", "apply", "clear"}} {
		var out, errs bytes.Buffer
		assert.Equal(t, exitUsage, run(t.Context(), args, &out, &errs), args)
		assert.NotEmpty(t, errs.String())
	}
	var out, errs bytes.Buffer
	assert.Equal(t, exitRun, run(t.Context(), []string{"netfault", "dance"}, &out, &errs))
	assert.Contains(t, errs.String(), `unknown command "dance"`)
	out.Reset()
	assert.Equal(t, exitMet, run(t.Context(), []string{"--help"}, &out, &errs))
	assert.NotContains(t, out.String(), "netfault", "nobody is meant to type these")
}

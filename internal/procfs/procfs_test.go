package procfs

import (
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParse(t *testing.T) {
	s, err := parse([]byte("42 (a ) R (b) T 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 2 3"))
	require.NoError(t, err)
	assert.Equal(t, Stat{State: 'T', Parent: 1, Start: 987654}, s)
	assert.True(t, s.Stopped())
	for _, bad := range []string{"", "42 a T", "42 (a) T 1", "42 (a) T 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 soon 1"} {
		_, err := parse([]byte(bad))
		assert.Error(t, err, bad)
	}
}

func TestReadFollowsAProcess(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	require.NoError(t, cmd.Start())
	defer cmd.Wait()
	defer cmd.Process.Kill()
	running, err := Read(cmd.Process.Pid)
	require.NoError(t, err)
	assert.Positive(t, running.Start)
	require.NoError(t, cmd.Process.Signal(syscall.SIGSTOP))
	require.Eventually(t, func() bool {
		tasks, err := Tasks(cmd.Process.Pid)
		return err == nil && len(tasks) == 1 && tasks[0].Stopped() && tasks[0].Start == running.Start
	}, 5*time.Second, time.Millisecond)
	require.NoError(t, cmd.Process.Kill())
	require.Eventually(t, func() bool {
		s, err := Read(cmd.Process.Pid)
		return err == nil && s.Gone()
	}, 5*time.Second, time.Millisecond, "not yet reaped")
	cmd.Wait()
	_, err = Read(cmd.Process.Pid)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	_, err = Tasks(cmd.Process.Pid)
	assert.ErrorIs(t, err, fs.ErrNotExist)
	self, err := Read(os.Getpid())
	require.NoError(t, err)
	assert.False(t, self.Gone())
}

func TestChildren(t *testing.T) {
	cmd := exec.Command("sleep", "60")
	require.NoError(t, cmd.Start())
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for _, children := range []func(int) ([]int, error){Children, childrenByParent} {
		mine, err := children(os.Getpid())
		require.NoError(t, err)
		assert.Contains(t, mine, cmd.Process.Pid)
		none, err := children(cmd.Process.Pid)
		require.NoError(t, err)
		assert.Empty(t, none)
	}
}

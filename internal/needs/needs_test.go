package needs

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
)

// ended records how a test would have ended.
type ended struct {
	testing.TB
	how string
}

func (e *ended) Helper()      {}
func (e *ended) Fatal(...any) { e.how = "failed"; runtime.Goexit() }
func (e *ended) Skip(...any)  { e.how = "skipped"; runtime.Goexit() }

func TestWhatIsMissingFailsInCI(t *testing.T) {
	for ci, want := range map[string]string{"": "skipped", "true": "failed", "1": "failed"} {
		t.Setenv("CI", ci)
		e := &ended{}
		done := make(chan struct{})
		go func() { defer close(done); Program(e, "no-such-program", "install it") }()
		<-done
		assert.Equal(t, want, e.how, "CI=%q", ci)
	}
	e := &ended{}
	assert.NotEmpty(t, Program(e, "go", ""))
	assert.Empty(t, e.how)
}

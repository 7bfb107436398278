package loadgen

import "time"

// window bounds the operations in flight where there is no schedule to keep, in
// Fill and ReadBack: a system that is slower than they ask for must not be asked
// so much that everything misses its deadline. It grows with each answer and
// halves, at most once a second, when there is none.
type window struct {
	size   int
	shrunk time.Duration
}

const (
	windowMin   = 16
	windowStart = 500
	windowMax   = 4000
)

func (w *window) open() int {
	if w.size == 0 {
		w.size = windowStart
	}
	return w.size
}

func (w *window) grow() { w.size = min(w.open()+1, windowMax) }

func (w *window) shrink(now time.Duration) {
	if now-w.shrunk < time.Second && w.shrunk > 0 {
		return
	}
	w.shrunk = now
	w.size = max(w.open()/2, windowMin)
}

package loadgen

import "time"

// timeHeap is a binary heap, the earliest first.
type timeHeap[T interface{ when() time.Duration }] []T

func (h *timeHeap[T]) push(it T) {
	*h = append(*h, it)
	a := *h
	for i := len(a) - 1; i > 0; {
		up := (i - 1) / 2
		if a[up].when() <= a[i].when() {
			break
		}
		a[up], a[i] = a[i], a[up]
		i = up
	}
}

func (h *timeHeap[T]) pop() T {
	a := *h
	top := a[0]
	last := len(a) - 1
	a[0] = a[last]
	a = a[:last]
	*h = a
	for i := 0; ; {
		c := 2*i + 1
		if c >= last {
			break
		}
		if c+1 < last && a[c+1].when() < a[c].when() {
			c++
		}
		if a[i].when() <= a[c].when() {
			break
		}
		a[i], a[c] = a[c], a[i]
		i = c
	}
	return top
}

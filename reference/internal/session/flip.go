package session

// Flip changes one bit of one session's value, as a broken memory or disk
// would: it is there to see that the scrubber finds it. False if there is none.
func (t *Table) Flip() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, it := range t.items {
		if len(it.value) > 0 {
			it.value[len(it.value)/2] ^= 1
			return true
		}
	}
	return false
}

package session

// Each calls fn for every session, in no order. What it is given belongs to the
// table, which is locked meanwhile.
func (t *Table) Each(fn func(key, value []byte)) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	for k, it := range t.items {
		fn([]byte(k), it.value)
	}
}

package session

// ClockOf is the shard clock that an encoded entry carries, in milliseconds.
func ClockOf(entry []byte) (uint64, error) {
	e, _, _, err := decodeHeader(entry)
	return e.Clock, err
}

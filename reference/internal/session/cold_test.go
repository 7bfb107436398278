package session

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// shared is a Cold that two tables use one after the other.
type shared map[string]string

func (s shared) Put(key string, _ uint64, value []byte) error { s[key] = string(value); return nil }
func (s shared) Get(dst []byte, key string, _ uint64) ([]byte, error) {
	if v, ok := s[key]; ok {
		return append(dst, v...), nil
	}
	return dst, ErrMoved
}
func (s shared) Delete(key string) error                       { delete(s, key); return nil }
func (s shared) Each(func([]byte, uint64, []byte) error) error { return nil }
func (s shared) Reset() error                                  { clear(s); return nil }

// A reader that looks for a value while its table is dropped does not take the
// one that the next table has put in the same place.
func TestAReaderOfADroppedTableGetsNoOthersValue(t *testing.T) {
	cold := shared{}
	old := NewTable()
	old.SetCold(cold, 1)
	e := AppendEntryHeader(nil, 1, 1, 1, 2)
	for _, k := range []string{"a", "b"} {
		e = AppendOp(e, &Op{Kind: Set, Key: []byte(k), Value: []byte("old")})
	}
	_, _, _, err := old.Apply(e, 1, nil)
	require.NoError(t, err)
	it := old.items["a"]
	require.Nil(t, it.next, "it is on disk")
	_, ok := old.read(nil, "a", it.serial)
	require.True(t, ok)
	it = old.items["b"] // which made room for a
	require.Nil(t, it.next)
	require.NoError(t, old.Drop())
	require.NoError(t, cold.Put("b", it.serial, []byte("next")))
	_, ok = old.read(nil, "b", it.serial)
	require.False(t, ok)
	_, _, err = old.Get(nil, []byte("b"))
	require.ErrorIs(t, err, ErrDropped)
	require.Equal(t, "next", cold["b"])
}

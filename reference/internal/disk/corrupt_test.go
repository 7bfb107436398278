package disk

import (
	"bytes"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// TestDamageIsFoundAtLoad: each way in which a record can be wrong is named,
// with its group, and the other groups are still served.
func TestDamageIsFoundAtLoad(t *testing.T) {
	type damage struct {
		want string
		do   func(t *testing.T, db *pebble.DB)
	}
	get := func(t *testing.T, db *pebble.DB, key []byte) []byte {
		v, c, err := db.Get(key)
		require.NoError(t, err)
		defer c.Close()
		return bytes.Clone(v)
	}
	set := func(t *testing.T, db *pebble.DB, key, v []byte) { require.NoError(t, db.Set(key, v, pebble.Sync)) }
	flip := func(key []byte, at int) func(*testing.T, *pebble.DB) {
		return func(t *testing.T, db *pebble.DB) {
			v := get(t, db, key)
			v[(at+len(v))%len(v)] ^= 0x10
			set(t, db, key, v)
		}
	}
	del := func(key []byte) func(*testing.T, *pebble.DB) {
		return func(t *testing.T, db *pebble.DB) { require.NoError(t, db.Delete(key, pebble.Sync)) }
	}
	const g = 7 // snapshot at 10, entries 11 to 20 of term 2
	serial := uint64(1)
	cases := map[string]damage{
		"flipped data":     {"entry 15: checksum", flip(entryKey(g, 15), -1)},
		"flipped term":     {"entry 15: checksum", flip(entryKey(g, 15), 5)},
		"flipped checksum": {"entry 15: checksum", flip(entryKey(g, 15), 0)},
		"torn entry": {"entry 15: checksum", func(t *testing.T, db *pebble.DB) {
			v := get(t, db, entryKey(g, 15))
			set(t, db, entryKey(g, 15), v[:len(v)-3])
		}},
		"empty entry":            {"entry 15: record of 0 bytes", func(t *testing.T, db *pebble.DB) { set(t, db, entryKey(g, 15), nil) }},
		"entry in another place": {"entry 15: checksum", func(t *testing.T, db *pebble.DB) { set(t, db, entryKey(g, 15), get(t, db, entryKey(g, 14))) }},
		"gap":                    {"entry 16 found where", del(entryKey(g, 15))},
		"beginning lost":         {"entry 12 found where", del(entryKey(g, 11))},
		"end lost":               {"ends before entry 20", del(entryKey(g, 20))},
		"entry too many":         {"entry 21 found where", func(t *testing.T, db *pebble.DB) { set(t, db, entryKey(g, 21), get(t, db, entryKey(g, 20))) }},
		"terms backward": {"entry 16 of term 2 follows one of term 3", func(t *testing.T, db *pebble.DB) {
			v := make([]byte, entryHead)
			putEntry(entryKey(g, 15), v, entry(15, 3, ""))
			set(t, db, entryKey(g, 15), v)
		}},
		"term above the hard state": {"hard state of term 3", func(t *testing.T, db *pebble.DB) {
			v := make([]byte, entryHead)
			putEntry(entryKey(g, 20), v, entry(20, 9, ""))
			set(t, db, entryKey(g, 20), v)
		}},
		"flipped state":         {"state record: checksum", flip(groupKey(keyState, g), 9)},
		"state lost":            {"no state record", del(groupKey(keyState, g))},
		"commit beyond the log": {"up to 99 are committed", func(t *testing.T, db *pebble.DB) { rewrite(t, db, g, func(s *state) { s.commit = 99 }) }},
		"log behind the snapshot": {"begins at entry 12, the snapshot ends at 10", func(t *testing.T, db *pebble.DB) {
			del(entryKey(g, 11))(t, db)
			rewrite(t, db, g, func(s *state) { s.first = 12 })
		}},
		"another snapshot":    {"the state record says index 9", func(t *testing.T, db *pebble.DB) { rewrite(t, db, g, func(s *state) { s.snapIndex = 9 }) }},
		"snapshot lost":       {"description of the snapshot at index 10", del(groupKey(keySnapshot, g))},
		"flipped description": {"description of the snapshot at index 10: checksum", flip(groupKey(keySnapshot, g), 20)},
		"flipped snapshot":    {"piece 1 of the snapshot at index 10: checksum", flip(chunkKey(g, serial, 1), 500)},
		"piece lost":          {"piece 1 of the snapshot at index 10 is missing", del(chunkKey(g, serial, 1))},
		"last piece lost":     {"bytes, or others", del(chunkKey(g, serial, 2))},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			o := Options{Dir: "data", FS: vfs.NewMem()}
			data := make([]byte, 10)
			if strings.Contains(c.want, "piece") || strings.Contains(c.want, "bytes, or") {
				data = make([]byte, 2*chunkSize+7)
			}
			s := open(t, o)
			require.NoError(t, s.SetIdentity(Identity{Node: "n"}))
			commit(t, s, Append{Group: g, Snapshot: snapshot(10, 2, data), Entries: entries(11, 20, 2), HardState: hard(3, 1, 12)},
				Append{Group: g + 1, Entries: entries(1, 3, 1), HardState: hard(1, 1, 1)})
			_, err := s.Load(g)
			require.NoError(t, err)
			c.do(t, s.db)
			require.NoError(t, s.Close())
			s = open(t, o)
			_, err = s.Load(g)
			require.ErrorContains(t, err, "group 7")
			require.ErrorContains(t, err, c.want)
			require.NotContains(t, err.Error(), "\n")
			_, err = s.Load(g + 1)
			require.NoError(t, err)
		})
	}
}

func rewrite(t *testing.T, db *pebble.DB, group uint32, change func(*state)) {
	v, c, err := db.Get(groupKey(keyState, group))
	require.NoError(t, err)
	s, err := decodeState(group, v)
	require.NoError(t, err)
	require.NoError(t, c.Close())
	change(&s)
	require.NoError(t, db.Set(groupKey(keyState, group), s.encode(group), pebble.Sync))
}

// TestFlippedBytesInFiles: Pebble's own files are checked too. A log that is
// damaged before its synced end must not be taken for one that just ends there.
func TestFlippedBytesInFiles(t *testing.T) {
	for _, kind := range []string{".log", ".sst"} {
		t.Run(kind, func(t *testing.T) {
			for _, part := range []int64{3, 5, 8} { // tenths of the file
				mem := vfs.NewCrashableMem()
				s := open(t, Options{Dir: "data", FS: mem})
				for i := uint64(1); i <= 60; i++ {
					commit(t, s, Append{Group: 1, Entries: big(i), HardState: hard(1, 1, i)})
				}
				if kind == ".sst" {
					require.NoError(t, s.db.Flush())
				}
				// A loss of power, not an orderly end.
				disk := mem.CrashClone(vfs.CrashCloneCfg{})
				require.NoError(t, s.Close())
				victim, size := flip(t, disk, kind, part)

				s, err := Open(Options{Dir: "data", FS: disk, Logf: t.Logf})
				if err == nil {
					var gs GroupState
					gs, err = s.Load(1)
					require.Error(t, err, "%s damaged at %d tenths of %d bytes: %d entries loaded as if nothing was", victim, part, size, len(gs.Entries))
					require.ErrorContains(t, err, "group 1")
					_ = s.Close()
				}
				require.NotContains(t, err.Error(), "\n")
			}
		})
	}
}

// flip damages a byte of the largest file of a kind.
func flip(t *testing.T, disk vfs.FS, kind string, tenths int64) (string, int64) {
	names, err := disk.List("data")
	require.NoError(t, err)
	var victim string
	var size int64
	for _, n := range names {
		fi, err := disk.Stat("data/" + n)
		require.NoError(t, err)
		if strings.HasSuffix(n, kind) && fi.Size() > size {
			victim, size = "data/"+n, fi.Size()
		}
	}
	f, err := disk.OpenReadWrite(victim, "t")
	require.NoError(t, err)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, size*tenths/10)
	require.NoError(t, err)
	b[0] ^= 0xff
	_, err = f.WriteAt(b, size*tenths/10)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return victim, size
}

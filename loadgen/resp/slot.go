package resp

import (
	"bytes"
	"fmt"
)

// Slots is the number of key slots of the Redis Cluster specification.
const Slots = 16384

// Slot is a key's slot: CRC16 modulo 16384 of the key, or of its first
// {hash tag} where that is not empty.
func Slot(key []byte) int {
	if open := bytes.IndexByte(key, '{'); open >= 0 {
		if n := bytes.IndexByte(key[open+1:], '}'); n > 0 {
			key = key[open+1 : open+1+n]
		}
	}
	var c uint16
	for _, b := range key {
		c = c<<8 ^ crcTable[byte(c>>8)^b]
	}
	return int(c) % Slots
}

// crcTable is of CRC-16/XMODEM: polynomial 0x1021, start 0, nothing reflected.
var crcTable = func() (t [256]uint16) {
	for i := range t {
		c := uint16(i) << 8
		for range 8 {
			if c&0x8000 != 0 {
				c = c<<1 ^ 0x1021
			} else {
				c <<= 1
			}
		}
		t[i] = c
	}
	return t
}()

// SlotRange is one element of CLUSTER SLOTS; of its nodes only the leader,
// which comes first, matters for routing.
type SlotRange struct {
	Start, End int
	Host       string
	Port       int
	NodeID     string // "" where the server names none
}

// ParseSlots reads the reply to CLUSTER SLOTS. Ranges without a node are left out.
func ParseSlots(r Reply) ([]SlotRange, error) {
	if r.Type == Error {
		return nil, fmt.Errorf("CLUSTER SLOTS: %s", r.Bytes)
	}
	rows, err := Elements(r)
	if err != nil {
		return nil, fmt.Errorf("CLUSTER SLOTS: %w", err)
	}
	out := make([]SlotRange, 0, len(rows))
	for _, row := range rows {
		f, err := Elements(row)
		if err != nil {
			return nil, fmt.Errorf("CLUSTER SLOTS: a range: %w", err)
		}
		if len(f) < 2 || f[0].Type != Integer || f[1].Type != Integer {
			return nil, fmt.Errorf("CLUSTER SLOTS: %w: a range does not begin with two numbers", ErrProtocol)
		}
		s := SlotRange{Start: int(f[0].Int), End: int(f[1].Int)}
		if s.Start < 0 || s.End < s.Start || s.End >= Slots {
			return nil, fmt.Errorf("CLUSTER SLOTS: %w: the range %d to %d", ErrProtocol, s.Start, s.End)
		}
		if len(f) < 3 {
			continue
		}
		n, err := Elements(f[2])
		if err != nil {
			return nil, fmt.Errorf("CLUSTER SLOTS: a node: %w", err)
		}
		if len(n) < 2 || n[1].Type != Integer {
			return nil, fmt.Errorf("CLUSTER SLOTS: %w: a node is not host, port, id", ErrProtocol)
		}
		s.Host, s.Port = string(n[0].Bytes), int(n[1].Int)
		if len(n) > 2 {
			s.NodeID = string(n[2].Bytes)
		}
		out = append(out, s)
	}
	return out, nil
}

package resp

import (
	"bytes"
	"errors"
	"fmt"
)

// Bounds of what a server may send.
const (
	MaxBulk  = 1 << 20 // bytes of one bulk string
	MaxArray = 4 << 20 // bytes of one array with everything in it
	MaxDepth = 4       // levels of arrays
	MaxLine  = 64 << 10
)

// Type of a reply, as its first byte says.
type Type byte

// The types of RESP2.
const (
	Simple  Type = '+'
	Error   Type = '-'
	Integer Type = ':'
	Bulk    Type = '$'
	Array   Type = '*'
)

// Reply is one reply. Bytes is the text of a simple string, error or bulk, and
// of an array its elements as they stand on the wire (see [Elements]).
type Reply struct {
	Type  Type
	Null  bool
	Int   int64 // of an Integer; of an Array the number of elements
	Bytes []byte
}

// ErrProtocol is wrapped by every error of the parser.
var ErrProtocol = errors.New("not the Redis protocol")

// Parse takes the first reply from b. It returns the number of bytes used, 0
// if the reply is not complete yet. It gives the same reply however the network
// cut the bytes up.
func Parse(b []byte) (Reply, int, error) { return parse(b, 0) }

func parse(b []byte, depth int) (Reply, int, error) {
	if len(b) == 0 {
		return Reply{}, 0, nil
	}
	t := Type(b[0])
	switch t {
	case Simple, Error, Integer, Bulk, Array:
	default:
		return Reply{}, 0, fmt.Errorf("%w: a reply begins with %q", ErrProtocol, b[0])
	}
	end := bytes.IndexByte(b[:min(len(b), MaxLine)], '\n')
	if end < 0 {
		if len(b) >= MaxLine {
			return Reply{}, 0, fmt.Errorf("%w: a line is longer than %d bytes", ErrProtocol, MaxLine)
		}
		return Reply{}, 0, nil
	}
	if end < 2 || b[end-1] != '\r' {
		return Reply{}, 0, fmt.Errorf("%w: a line does not end with CR LF", ErrProtocol)
	}
	line, used := b[1:end-1], end+1
	if t == Simple || t == Error {
		return Reply{Type: t, Bytes: line}, used, nil
	}
	n, ok := number(line)
	if !ok {
		return Reply{}, 0, fmt.Errorf("%w: %.32q is not a number", ErrProtocol, line)
	}
	if t == Integer {
		return Reply{Type: t, Int: n}, used, nil
	}
	if n == -1 {
		return Reply{Type: t, Null: true}, used, nil
	}
	if t == Bulk {
		if n < 0 || n > MaxBulk {
			return Reply{}, 0, fmt.Errorf("%w: a bulk string of %d bytes, %d are allowed", ErrProtocol, n, MaxBulk)
		}
		last := used + int(n)
		if len(b) < last+2 {
			return Reply{}, 0, nil
		}
		if b[last] != '\r' || b[last+1] != '\n' {
			return Reply{}, 0, fmt.Errorf("%w: a bulk string does not end where it says", ErrProtocol)
		}
		return Reply{Type: t, Bytes: b[used:last]}, last + 2, nil
	}
	// The smallest element takes three bytes.
	if n < 0 || n > MaxArray/3 {
		return Reply{}, 0, fmt.Errorf("%w: an array of %d elements", ErrProtocol, n)
	}
	if depth >= MaxDepth {
		return Reply{}, 0, fmt.Errorf("%w: arrays are nested more than %d deep", ErrProtocol, MaxDepth)
	}
	first := used
	for range n {
		_, m, err := parse(b[used:], depth+1)
		if err != nil {
			return Reply{}, 0, err
		}
		used += m
		if m == 0 {
			used = len(b)
		}
		if used > MaxArray {
			return Reply{}, 0, fmt.Errorf("%w: an array is longer than %d bytes", ErrProtocol, MaxArray)
		}
		if m == 0 {
			return Reply{}, 0, nil
		}
	}
	return Reply{Type: t, Int: n, Bytes: b[first:used]}, used, nil
}

// number reads a decimal of at most 18 digits.
func number(b []byte) (int64, bool) {
	neg := len(b) > 0 && b[0] == '-'
	if neg {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + int64(c-'0')
	}
	if neg {
		n = -n
	}
	return n, true
}

// Elements lists what an array holds.
func Elements(r Reply) ([]Reply, error) {
	if r.Type != Array || r.Null {
		return nil, fmt.Errorf("%w: expected an array, got %q", ErrProtocol, byte(r.Type))
	}
	out := make([]Reply, 0, min(r.Int, 1024))
	for b := r.Bytes; len(b) > 0; {
		e, n, err := Parse(b)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return nil, fmt.Errorf("%w: an array ends in the middle of an element", ErrProtocol)
		}
		out, b = append(out, e), b[n:]
	}
	return out, nil
}

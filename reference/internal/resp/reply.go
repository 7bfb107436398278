package resp

import (
	"math"
	"strconv"
)

// AppendOK appends the simple string OK.
func AppendOK(dst []byte) []byte { return append(dst, "+OK\r\n"...) }

// AppendSimple appends a simple string. Line breaks become spaces, as they
// would end it.
func AppendSimple(dst []byte, s string) []byte { return line(append(dst, '+'), s) }

// AppendError appends an error; text begins with its code ("ERR ...").
func AppendError(dst []byte, text string) []byte { return line(append(dst, '-'), text) }

// AppendInt appends an integer.
func AppendInt(dst []byte, n int64) []byte { return head(dst, ':', n) }

// AppendBulk appends a byte string.
func AppendBulk(dst, s []byte) []byte {
	dst = append(head(dst, '$', int64(len(s))), s...)
	return append(dst, '\r', '\n')
}

// AppendBulkString is AppendBulk of a string.
func AppendBulkString(dst []byte, s string) []byte {
	dst = append(head(dst, '$', int64(len(s))), s...)
	return append(dst, '\r', '\n')
}

// AppendNull appends the absent value.
func AppendNull(dst []byte, proto int) []byte {
	if proto >= 3 {
		return append(dst, "_\r\n"...)
	}
	return append(dst, "$-1\r\n"...)
}

// AppendArray appends the head of an array; its n elements follow.
func AppendArray(dst []byte, n int) []byte { return head(dst, '*', int64(n)) }

// AppendMap appends the head of a map; n pairs of key and value follow. RESP2
// has no maps and gets a flat array.
func AppendMap(dst []byte, n, proto int) []byte {
	if proto >= 3 {
		return head(dst, '%', int64(n))
	}
	return head(dst, '*', 2*int64(n))
}

// AppendBool appends a truth value, 1 or 0 in RESP2.
func AppendBool(dst []byte, v bool, proto int) []byte {
	switch {
	case proto >= 3 && v:
		return append(dst, "#t\r\n"...)
	case proto >= 3:
		return append(dst, "#f\r\n"...)
	case v:
		return append(dst, ":1\r\n"...)
	}
	return append(dst, ":0\r\n"...)
}

// AppendDouble appends a floating-point number, a byte string in RESP2.
func AppendDouble(dst []byte, v float64, proto int) []byte {
	var b [32]byte
	var s []byte
	switch {
	case math.IsInf(v, 1):
		s = append(b[:0], "inf"...)
	case math.IsInf(v, -1):
		s = append(b[:0], "-inf"...)
	case math.IsNaN(v):
		s = append(b[:0], "nan"...)
	default:
		s = strconv.AppendFloat(b[:0], v, 'g', -1, 64)
	}
	if proto < 3 {
		return AppendBulk(dst, s)
	}
	dst = append(append(dst, ','), s...)
	return append(dst, '\r', '\n')
}

// AppendVerbatim appends plain text that a client should show as it is, a byte
// string in RESP2.
func AppendVerbatim(dst []byte, text string, proto int) []byte {
	if proto < 3 {
		return AppendBulkString(dst, text)
	}
	dst = append(head(dst, '=', int64(len(text)+4)), "txt:"...)
	dst = append(dst, text...)
	return append(dst, '\r', '\n')
}

func head(dst []byte, kind byte, n int64) []byte {
	dst = strconv.AppendInt(append(dst, kind), n, 10)
	return append(dst, '\r', '\n')
}

func line(dst []byte, s string) []byte {
	from := len(dst)
	dst = append(dst, s...)
	for i := from; i < len(dst); i++ {
		if dst[i] == '\r' || dst[i] == '\n' {
			dst[i] = ' '
		}
	}
	return append(dst, '\r', '\n')
}

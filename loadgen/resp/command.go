package resp

import "strconv"

// AppendCommand appends any command.
func AppendCommand(dst []byte, args ...string) []byte {
	dst = AppendHeader(dst, len(args))
	for _, a := range args {
		dst = AppendArg(dst, a)
	}
	return dst
}

// AppendHeader begins a command of n arguments, its name among them.
func AppendHeader(dst []byte, n int) []byte {
	dst = append(dst, '*')
	dst = strconv.AppendInt(dst, int64(n), 10)
	return append(dst, '\r', '\n')
}

// AppendArg appends one argument.
func AppendArg[T string | []byte](dst []byte, arg T) []byte {
	dst = AppendLength(dst, len(arg))
	dst = append(dst, arg...)
	return append(dst, '\r', '\n')
}

// AppendLength begins an argument of n bytes; the caller appends them and CR LF.
func AppendLength(dst []byte, n int) []byte {
	dst = append(dst, '$')
	dst = strconv.AppendInt(dst, int64(n), 10)
	return append(dst, '\r', '\n')
}

// AppendUint appends an argument that is a decimal number.
func AppendUint(dst []byte, n uint64) []byte {
	var d [20]byte
	return AppendArg(dst, strconv.AppendUint(d[:0], n, 10))
}

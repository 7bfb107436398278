package resp

import (
	"bytes"
	"math"
)

// Bounds of one command.
const (
	MaxArgs   = 1024 * 1024     // arguments
	MaxBulk   = 1024 * 1024     // bytes of one argument
	MaxInline = 64 * 1024       // bytes of an inline command before its line feed
	MaxQuery  = 4 * 1024 * 1024 // bytes of a whole command on the wire
)

const minBulk = 6 // the shortest argument: "$0\r\n\r\n"

// A ProtocolError ends a connection. Answer it as "ERR " and its text.
type ProtocolError string

func (e ProtocolError) Error() string { return "Protocol error: " + string(e) }

// The errors that depend on no detail of the input. For a query that is too big
// Redis itself closes without a word.
const (
	ErrMultibulkLength  ProtocolError = "invalid multibulk length"
	ErrBulkLength       ProtocolError = "invalid bulk length"
	ErrInlineTooBig     ProtocolError = "too big inline request"
	ErrUnbalancedQuotes ProtocolError = "unbalanced quotes in request"
	ErrQueryTooBig      ProtocolError = "too big query"
)

// ParseCommand takes the first command off buf. It returns the arguments,
// appended to args[:0], and the number of bytes they took. n is 0 while the
// command is incomplete; n > 0 without arguments is an empty command, which is
// skipped without an answer.
func ParseCommand(buf []byte, args [][]byte) (argsOut [][]byte, n int, err error) {
	args = args[:0]
	if len(buf) == 0 {
		return args, 0, nil
	}
	if buf[0] != '*' {
		return parseInline(buf, args)
	}
	m, err := begin(buf)
	if err != nil || m.pos == 0 {
		return args, 0, err
	}
	for m.left > 0 {
		arg, ok, err := m.next(buf)
		if err != nil {
			return args[:0], 0, err
		}
		if !ok {
			return args[:0], 0, nil
		}
		args = append(args, arg)
	}
	return args, m.pos, nil
}

// A Parser is ParseCommand for a connection: it remembers how far an incomplete
// command was checked, so that a client that sends a command of many arguments
// byte by byte costs its length, not the square of it. The zero value is ready.
// Until Next has returned n > 0, the caller may only append to buf.
type Parser struct{ m multibulk }

// Next is ParseCommand on the same connection's next bytes.
func (p *Parser) Next(buf []byte, args [][]byte) (argsOut [][]byte, n int, err error) {
	if p.m.pos == 0 {
		if argsOut, n, err = ParseCommand(buf, args); n > 0 || err != nil || len(buf) == 0 || buf[0] != '*' {
			return argsOut, n, err
		}
		if p.m, err = begin(buf); err != nil || p.m.pos == 0 {
			return argsOut, 0, err
		}
	}
	for p.m.left > 0 {
		_, ok, err := p.m.next(buf)
		if err != nil {
			return args[:0], 0, err
		}
		if !ok {
			return args[:0], 0, nil
		}
	}
	p.m = multibulk{}
	return ParseCommand(buf, args)
}

// multibulk is the place reached in a command: left arguments are missing, the
// next one begins at pos.
type multibulk struct{ pos, left int }

// begin reads the head of a command; pos stays 0 while it is incomplete.
func begin(buf []byte) (multibulk, error) {
	v, end, ok := length(buf, 0)
	switch {
	case !ok:
		return multibulk{}, ErrMultibulkLength
	case end == 0:
		return multibulk{}, nil
	case v > MaxArgs:
		return multibulk{}, ErrMultibulkLength
	case v*minBulk > int64(MaxQuery-end):
		return multibulk{}, ErrQueryTooBig
	case v < 0:
		v = 0 // as Redis: a null array is an empty command
	}
	return multibulk{pos: end, left: int(v)}, nil
}

// next reads one argument and moves behind it.
func (m *multibulk) next(buf []byte) (arg []byte, ok bool, err error) {
	if m.pos >= len(buf) {
		return nil, false, nil
	}
	if c := buf[m.pos]; c != '$' {
		return nil, false, ProtocolError("expected '$', got '" + string([]byte{c}) + "'")
	}
	v, start, ok := length(buf, m.pos)
	switch {
	case !ok || v < 0 || v > MaxBulk:
		return nil, false, ErrBulkLength
	case start == 0:
		return nil, false, nil
	}
	end := start + int(v)
	if end+2+(m.left-1)*minBulk > MaxQuery {
		return nil, false, ErrQueryTooBig
	}
	if end < len(buf) && buf[end] != '\r' || end+1 < len(buf) && buf[end+1] != '\n' {
		return nil, false, ErrBulkLength
	}
	if end+2 > len(buf) {
		return nil, false, nil
	}
	m.pos, m.left = end+2, m.left-1
	return buf[start:end:end], true, nil
}

// length reads the number between the type byte at pos and CR LF, and returns
// the position behind it. end is 0 while the line is incomplete. Like Redis it
// takes the one canonical spelling of a number only.
func length(buf []byte, pos int) (v int64, end int, ok bool) {
	i := pos + 1
	neg := i < len(buf) && buf[i] == '-'
	if neg {
		i++
	}
	first := i
	for ; i < len(buf) && buf[i]-'0' <= 9; i++ {
		d := int64(buf[i] - '0')
		if i > first && buf[first] == '0' || v > (math.MaxInt64-d)/10 {
			return 0, 0, false
		}
		v = v*10 + d
	}
	switch {
	case i == len(buf):
		return 0, 0, true
	case buf[i] != '\r' || i == first || neg && v == 0:
		return 0, 0, false
	case i+1 == len(buf):
		return 0, 0, true
	case buf[i+1] != '\n':
		return 0, 0, false
	}
	if neg {
		v = -v
	}
	return v, i + 2, true
}

func parseInline(buf []byte, args [][]byte) ([][]byte, int, error) {
	head := buf[:min(len(buf), MaxInline+1)]
	end := bytes.IndexByte(head, '\n')
	if end < 0 {
		if len(buf) > MaxInline {
			return args, 0, ErrInlineTooBig
		}
		return args, 0, nil
	}
	line := bytes.TrimSuffix(buf[:end:end], []byte{'\r'})
	out, ok := split(line, args)
	if !ok {
		return args[:0], 0, ErrUnbalancedQuotes
	}
	return out, end + 1, nil
}

func blank(c byte) bool { return c == ' ' || c-'\t' <= '\r'-'\t' }

// split cuts a line into words as redis-server's sdssplitargs does.
func split(line []byte, args [][]byte) ([][]byte, bool) {
	for {
		for len(line) > 0 && blank(line[0]) {
			line = line[1:]
		}
		if len(line) == 0 {
			return args, true
		}
		i := 0
		for i < len(line) && !wordEnd(line[i]) && line[i] != '"' && line[i] != '\'' {
			i++
		}
		if i == len(line) || wordEnd(line[i]) {
			args = append(args, line[:i:i])
			line = line[i:]
			continue
		}
		word, rest, ok := quoted(line)
		if !ok {
			return nil, false
		}
		args = append(args, word)
		line = rest
	}
}

// wordEnd is narrower than blank: Redis lets a word contain \v and \f.
func wordEnd(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// quoted copies a word that has quotes somewhere in it.
func quoted(line []byte) (word, rest []byte, ok bool) {
	word = make([]byte, 0, len(line))
	var quote byte
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quote == 0 && wordEnd(c):
			return word, line[i:], true
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0:
			word = append(word, c)
		case c == quote:
			if i+1 < len(line) && !blank(line[i+1]) {
				return nil, nil, false
			}
			return word, line[i+1:], true
		case c == '\\' && quote == '\'' && i+1 < len(line) && line[i+1] == '\'':
			word = append(word, '\'')
			i++
		case c == '\\' && quote == '"' && i+3 < len(line) && line[i+1] == 'x' && hex(line[i+2]) >= 0 && hex(line[i+3]) >= 0:
			word = append(word, byte(hex(line[i+2])<<4|hex(line[i+3])))
			i += 3
		case c == '\\' && quote == '"' && i+1 < len(line):
			i++
			word = append(word, unescape(line[i]))
		default:
			word = append(word, c)
		}
	}
	return word, nil, quote == 0
}

func unescape(c byte) byte {
	switch c {
	case 'n':
		return '\n'
	case 'r':
		return '\r'
	case 't':
		return '\t'
	case 'b':
		return '\b'
	case 'a':
		return '\a'
	}
	return c
}

func hex(c byte) int {
	switch {
	case c-'0' <= 9:
		return int(c - '0')
	case c-'a' <= 5:
		return int(c-'a') + 10
	case c-'A' <= 5:
		return int(c-'A') + 10
	}
	return -1
}

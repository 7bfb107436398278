package loadgen

import (
	"bytes"

	"github.com/fivenines/fivenines/loadgen/history"
	"github.com/fivenines/fivenines/loadgen/resp"
)

// How operations stand on the wire, see DESIGN section 4.

// appendRequest appends an operation as a Redis command.
func appendRequest(dst []byte, op *history.Op, stateBytes int) []byte {
	switch op.Kind {
	case history.Read, history.ReadBack:
		dst = append(dst, "*2\r\n$3\r\nGET\r\n"...)
		return appendKeyArg(dst, op.Session)
	case history.Close:
		dst = append(dst, "*2\r\n$6\r\nGETDEL\r\n"...)
		return appendKeyArg(dst, op.Session)
	case history.Touch:
		dst = append(dst, "*4\r\n$5\r\nGETEX\r\n"...)
		dst = appendKeyArg(dst, op.Session)
		return appendTTL(dst, op.TTL)
	}
	dst = append(dst, "*6\r\n$3\r\nSET\r\n"...)
	dst = appendKeyArg(dst, op.Session)
	dst = resp.AppendLength(dst, stateBytes)
	dst = AppendState(dst, State{Session: op.Session, Seq: op.Seq, Writer: op.Writer, Time: op.Intended}, stateBytes)
	if op.Kind == history.Create {
		dst = append(dst, "\r\n$2\r\nNX\r\n"...)
	} else {
		dst = append(dst, "\r\n$2\r\nXX\r\n"...)
	}
	return appendTTL(dst, op.TTL)
}

func appendKeyArg(dst []byte, n uint64) []byte {
	var key [40]byte
	return resp.AppendArg(dst, appendKey(key[:0], n))
}

// appendTTL appends EX seconds, or PX milliseconds where it must.
func appendTTL(dst []byte, ms uint32) []byte {
	if ms%1000 == 0 {
		dst = append(dst, "$2\r\nEX\r\n"...)
		return resp.AppendUint(dst, uint64(ms/1000))
	}
	dst = append(dst, "$2\r\nPX\r\n"...)
	return resp.AppendUint(dst, uint64(ms))
}

// answer is what a reply means, as far as it can be told without the request.
type answer struct {
	kind  answerKind
	state State
	moved string // host:port of a redirection
	text  string // of another error
}

type answerKind uint8

const (
	acknowledged answerKind = iota // +OK
	nothing                        // null: not there, or the condition did not hold
	found                          // a state
	damaged                        // a value that is no state, or whose checksum is wrong
	notApplied                     // an error that promises that nothing was done
	unknownYet                     // an error that says that the outcome is unknown
	otherError
)

// notAppliedErrors promise that nothing was done: the platform's own word, and
// what a Redis server says before it looks at a command.
var notAppliedErrors = [][]byte{
	[]byte("NOTAPPLIED"), []byte("CLUSTERDOWN"), []byte("LOADING"), []byte("READONLY"),
	[]byte("MASTERDOWN"), []byte("TRYAGAIN"),
}

func interpret(r resp.Reply) answer {
	switch r.Type {
	case resp.Bulk:
		if r.Null {
			return answer{kind: nothing}
		}
		s, err := DecodeState(r.Bytes)
		if err != nil {
			return answer{kind: damaged}
		}
		return answer{kind: found, state: s}
	case resp.Simple:
		if string(r.Bytes) == "OK" {
			return answer{kind: acknowledged}
		}
	case resp.Array:
		if r.Null {
			return answer{kind: nothing}
		}
	case resp.Error:
		word, rest, _ := bytes.Cut(r.Bytes, []byte(" "))
		for _, w := range notAppliedErrors {
			if bytes.Equal(word, w) {
				return answer{kind: notApplied}
			}
		}
		switch string(word) {
		case "UNKNOWN":
			return answer{kind: unknownYet}
		case "MOVED", "ASK":
			_, addr, _ := bytes.Cut(rest, []byte(" "))
			return answer{kind: notApplied, moved: string(addr)}
		}
		return answer{kind: otherError, text: string(r.Bytes[:min(len(r.Bytes), 200)])}
	}
	return answer{kind: otherError, text: "a reply of the wrong type"}
}

package strict

import (
	"bytes"
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// Encode writes the value that v points at as a file that [Decode] reads into
// an equal value. goccy's encoder leaves some texts unquoted that its own
// parser then reads as something else (a tab, for one); every text that is not
// plainly a word is quoted here.
func Encode(v any) ([]byte, error) {
	var e encoder
	e.structure(reflect.ValueOf(v).Elem(), 0)
	if e.err != nil {
		return nil, e.err
	}
	return e.Bytes(), nil
}

// Written is implemented by values that decode as an [Alternative]: the word
// to write, or a pointer to the value whose fields are written.
type Written interface {
	Written() (word string, block any)
}

type encoder struct {
	bytes.Buffer
	err error
}

func (e *encoder) structure(v reflect.Value, indent int) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name := FieldName(f)
		if name == "" || (omitEmpty(f) && v.Field(i).IsZero()) {
			continue
		}
		e.WriteString(strings.Repeat("  ", indent) + name + ":")
		e.value(v.Field(i), indent+1)
	}
}

func omitEmpty(f reflect.StructField) bool {
	_, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return slices.Contains(strings.Split(opts, ","), "omitempty")
}

// value follows "name:" and ends its line.
func (e *encoder) value(v reflect.Value, indent int) {
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			e.err = fmt.Errorf("a nil %v can't be written", v.Type())
			return
		}
		v = v.Elem()
	}
	if word, ok := e.word(v); ok {
		e.WriteString(" " + word + "\n")
		return
	}
	if w, ok := v.Interface().(Written); ok {
		_, block := w.Written()
		v = reflect.ValueOf(block).Elem()
	}
	switch v.Kind() {
	case reflect.Struct:
		e.WriteByte('\n')
		e.structure(v, indent)
	case reflect.Map:
		if v.Len() == 0 {
			e.WriteString(" {}\n")
			return
		}
		e.WriteByte('\n')
		for _, k := range sortedKeys(v) {
			e.WriteString(strings.Repeat("  ", indent) + quoted(k) + ":")
			e.value(v.MapIndex(reflect.ValueOf(k)), indent+1)
		}
	case reflect.Slice, reflect.Array:
		e.list(v, indent)
	default:
		e.err = fmt.Errorf("no way to write a %v", v.Type())
	}
}

func (e *encoder) list(v reflect.Value, indent int) {
	if v.Len() == 0 {
		e.WriteString(" []\n")
		return
	}
	e.WriteByte('\n')
	for i := range v.Len() {
		item := v.Index(i)
		pad := strings.Repeat("  ", indent)
		if word, ok := e.word(item); ok {
			e.WriteString(pad + "- " + word + "\n")
			continue
		}
		// The first field of an item stands behind its dash.
		at := e.Len()
		e.structure(item, indent+1)
		if e.Len() == at {
			e.WriteString(pad + "- {}\n")
			continue
		}
		copy(e.Bytes()[at:], pad+"- ")
	}
}

// word is the one-word form of a value, if it has one.
func (e *encoder) word(v reflect.Value) (string, bool) {
	switch x := v.Interface().(type) {
	case Written:
		word, block := x.Written()
		return quoted(word), block == nil
	case encoding.TextMarshaler:
		b, err := x.MarshalText()
		if err != nil {
			e.err = err
		}
		return quoted(string(b)), true
	}
	switch v.Kind() {
	case reflect.String:
		return quoted(v.String()), true
	case reflect.Bool:
		return strconv.FormatBool(v.Bool()), true
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return strconv.FormatInt(v.Int(), 10), true
	case reflect.Float32, reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'f', -1, 64), true
	}
	return "", false
}

func sortedKeys(m reflect.Value) []string {
	var keys []string
	for _, k := range m.MapKeys() {
		keys = append(keys, k.String())
	}
	slices.Sort(keys)
	return keys
}

var (
	plainRE = regexp.MustCompile(`^[A-Za-z0-9<](?:[A-Za-z0-9 ,.;()=_/<>%+'*-]*[A-Za-z0-9.)%])?$`)
	// What YAML readers take for something else than a text: numbers (also
	// with a sign, an exponent or another base), dates, times, booleans, null.
	specialRE = regexp.MustCompile(`(?i)^(?:[0-9][0-9a-fox_.+e:-]*|true|false|yes|no|on|off|y|n|null|nan|inf)$`)
)

// quoted is the text as a plain word where every reader would agree on it,
// else in double quotes.
func quoted(s string) string {
	if plainRE.MatchString(s) && !specialRE.MatchString(s) {
		return s
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == '\r':
			b.WriteString(`\r`)
		case r < 0x20 || r == 0x7f:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff && !unicode.IsPrint(r):
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

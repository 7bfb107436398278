// Package strict decodes YAML into Go values and says of every mistake in
// which line and field it stands and what is allowed there. It reads goccy's
// syntax tree itself, because goccy's decoder gives the position of a mistake
// only for some kinds of mistake.
//
// Contract: a field that no Go field is tagged with, a value of the wrong
// kind, a second document, anchors, aliases and tags are errors. Fields that
// the text leaves out keep the value they had. All mistakes are reported, not
// only the first.
package strict

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"math"
	"reflect"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/fivenines/fivenines/internal/closest"
)

// MaxBytes bounds a file: more than any scenario needs, and little enough that
// no nesting can exhaust the stack.
const MaxBytes = 64 << 10

// maxDepth of nested values.
const maxDepth = 64

// Error is one mistake in a file. Line is 0 where the value did not come from
// a file.
type Error struct {
	File  string
	Line  int
	Field string // "faults[0].kind"; empty for the file as a whole
	Msg   string
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			fmt.Fprintf(&b, ":%d", e.Line)
		}
		b.WriteString(": ")
	}
	if e.Field != "" {
		b.WriteString(e.Field + ": ")
	}
	b.WriteString(e.Msg)
	return b.String()
}

// Errors are all mistakes of a file, in order of their lines.
type Errors []*Error

func (es Errors) Error() string {
	lines := make([]string, len(es))
	for i, e := range es {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives errors.As each of them.
func (es Errors) Unwrap() []error {
	out := make([]error, len(es))
	for i, e := range es {
		out[i] = e
	}
	return out
}

// Alternative is a value that a file may write either as one word or as a
// mapping of its own.
type Alternative interface {
	// Word takes the short form.
	Word(text string) error
	// Block returns a pointer to the value that the mapping is decoded into.
	Block() any
}

// Index finds the line of a field.
type Index map[string]int

// Line of the field, or of the nearest enclosing one that the file has.
func (x Index) Line(field string) int {
	for field != "" {
		if l, ok := x[field]; ok {
			return l
		}
		cut := strings.LastIndexAny(field, ".[")
		if cut < 0 {
			break
		}
		field = field[:cut]
	}
	return x[""]
}

// Decode reads data, which came from file, into the value that dst points at.
func Decode(file string, data []byte, dst any) (x Index, err error) {
	// The tree's builder is not ours; hostile text must not end the program.
	defer func() {
		if p := recover(); p != nil {
			x, err = nil, Errors{{File: file, Msg: fmt.Sprintf("is not YAML that can be read (%v)", p)}}
		}
	}()
	if len(data) > MaxBytes {
		return nil, Errors{{File: file, Msg: fmt.Sprintf("has %d bytes, at most %d are read", len(data), MaxBytes)}}
	}
	if err := tame(data); err != nil {
		return nil, Errors{{File: file, Msg: err.Error()}}
	}
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		e := &Error{File: file, Msg: err.Error()}
		var ye yaml.Error
		if errors.As(err, &ye) {
			e.Msg = ye.GetMessage()
			if t := ye.GetToken(); t != nil && t.Position != nil {
				e.Line = t.Position.Line
			}
		}
		e.Msg = strings.ReplaceAll(e.Msg, "\n", " ")
		return nil, Errors{e}
	}
	d := &decoder{file: file, index: Index{"": 1}}
	var bodies []ast.Node
	for _, doc := range tree.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.CommentType {
			bodies = append(bodies, doc.Body)
		}
	}
	switch len(bodies) {
	case 0:
		return nil, Errors{{File: file, Line: 1, Msg: "is empty"}}
	case 1:
		d.value("", bodies[0], reflect.ValueOf(dst).Elem(), 0)
	default:
		d.fail("", bodies[1], "starts a second document, one is allowed")
	}
	if len(d.errs) > 0 {
		sort.SliceStable(d.errs, func(i, j int) bool { return d.errs[i].Line < d.errs[j].Line })
		return d.index, d.errs
	}
	return d.index, nil
}

// tame refuses texts on which the parser would take far more time than their
// size deserves: it is quadratic in how deep lists and braces nest.
func tame(data []byte) error {
	if !utf8.Valid(data) {
		return errors.New("is not UTF-8 text")
	}
	open := 0
	for line := range bytes.Lines(data) {
		leading := 0
		for text := bytes.TrimLeft(line, " "); len(text) > 1 && (text[0] == '-' || text[0] == '?' || text[0] == ':') && (text[1] == ' ' || text[1] == '\t'); leading++ {
			text = bytes.TrimLeft(text[1:], " \t")
		}
		for _, c := range line {
			switch c {
			case '[', '{':
				open++
			case ']', '}':
				open = max(0, open-1)
			}
		}
		if open > maxDepth || leading > maxDepth {
			return fmt.Errorf("is nested deeper than %d levels", maxDepth)
		}
	}
	return nil
}

type decoder struct {
	file  string
	index Index
	errs  Errors
}

func line(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

func (d *decoder) fail(field string, n ast.Node, format string, args ...any) {
	d.errs = append(d.errs, &Error{File: d.file, Line: line(n), Field: field, Msg: fmt.Sprintf(format, args...)})
}

var textType = reflect.TypeFor[encoding.TextUnmarshaler]()

func (d *decoder) value(field string, n ast.Node, v reflect.Value, depth int) {
	if depth > maxDepth {
		d.fail(field, n, "is nested too deep")
		return
	}
	if _, ok := d.index[field]; !ok {
		d.index[field] = line(n)
	}
	switch n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		d.fail(field, n, "anchors, aliases and tags are not allowed")
		return
	case *ast.NullNode:
		d.fail(field, n, "has no value")
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		v = v.Elem()
	}
	if alt, ok := v.Addr().Interface().(Alternative); ok {
		if text, scalar := scalarText(n); scalar {
			if err := alt.Word(text); err != nil {
				d.fail(field, n, "%v", err)
			}
			return
		}
		d.value(field, n, reflect.ValueOf(alt.Block()).Elem(), depth+1)
		return
	}
	if v.Addr().Type().Implements(textType) {
		text, scalar := scalarText(n)
		if !scalar {
			d.fail(field, n, "needs one value, not %s", what(n))
			return
		}
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
			d.fail(field, n, "%v", err)
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.structure(field, n, v, depth)
	case reflect.Map:
		d.mapping(field, n, v, depth)
	case reflect.Slice, reflect.Array:
		d.list(field, n, v, depth)
	default:
		d.scalar(field, n, v)
	}
}

func (d *decoder) structure(field string, n ast.Node, v reflect.Value, depth int) {
	pairs, ok := pairsOf(n)
	if !ok {
		d.fail(field, n, "needs fields (%s), not %s", strings.Join(Fields(v.Type()), ", "), what(n))
		return
	}
	byName := map[string]int{}
	for i := range v.NumField() {
		if name := FieldName(v.Type().Field(i)); name != "" {
			byName[name] = i
		}
	}
	for _, p := range pairs {
		name, ok := keyText(p.Key)
		if !ok {
			d.fail(field, p, "has a key that is not a plain word")
			continue
		}
		at := join(field, name)
		i, known := byName[name]
		if !known {
			allowed := Fields(v.Type())
			msg := "no such field; allowed are " + strings.Join(allowed, ", ")
			if s := closest.To(name, allowed); s != "" {
				msg = fmt.Sprintf("no such field; did you mean %s?", s)
			}
			d.errs = append(d.errs, &Error{File: d.file, Line: line(p.Key), Field: at, Msg: msg})
			continue
		}
		d.index[at] = line(p.Key)
		d.value(at, p.Value, v.Field(i), depth+1)
	}
}

func (d *decoder) mapping(field string, n ast.Node, v reflect.Value, depth int) {
	pairs, ok := pairsOf(n)
	if !ok {
		d.fail(field, n, "needs names with a value each, not %s", what(n))
		return
	}
	m := reflect.MakeMapWithSize(v.Type(), len(pairs))
	for _, p := range pairs {
		name, ok := keyText(p.Key)
		if !ok {
			d.fail(field, p, "has a key that is not a plain word")
			continue
		}
		at := join(field, name)
		d.index[at] = line(p.Key)
		e := reflect.New(v.Type().Elem()).Elem()
		d.value(at, p.Value, e, depth+1)
		m.SetMapIndex(reflect.ValueOf(name), e)
	}
	if m.Len() == 0 {
		v.SetZero() // as a file that leaves it out
		return
	}
	v.Set(m)
}

func (d *decoder) list(field string, n ast.Node, v reflect.Value, depth int) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		d.fail(field, n, "needs a list, not %s", what(n))
		return
	}
	if v.Kind() == reflect.Slice {
		v.Set(reflect.MakeSlice(v.Type(), len(seq.Values), len(seq.Values)))
		if len(seq.Values) == 0 {
			v.SetZero()
		}
	} else if len(seq.Values) != v.Len() {
		d.fail(field, n, "needs %d values, not %d", v.Len(), len(seq.Values))
		return
	}
	for i, e := range seq.Values {
		d.value(fmt.Sprintf("%s[%d]", field, i), e, v.Index(i), depth+1)
	}
}

func (d *decoder) scalar(field string, n ast.Node, v reflect.Value) {
	text, ok := scalarText(n)
	if !ok {
		d.fail(field, n, "needs %s, not %s", wanted(v.Type()), what(n))
		return
	}
	bad := func() { d.fail(field, n, "%q is not %s", text, wanted(v.Type())) }
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		if text != "true" && text != "false" {
			bad()
			return
		}
		v.SetBool(text == "true")
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, v.Type().Bits())
		if err != nil {
			bad()
			return
		}
		v.SetInt(i)
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(strings.ReplaceAll(text, "_", ""), 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			bad()
			return
		}
		v.SetFloat(f)
	default:
		panic("strict: no way to decode " + v.Type().String())
	}
}

func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	case reflect.Float32, reflect.Float64:
		return "a number"
	default:
		return "a whole number"
	}
}

func what(n ast.Node) string {
	switch n.(type) {
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a group of fields"
	default:
		return "a single value"
	}
}

func pairsOf(n ast.Node) ([]*ast.MappingValueNode, bool) {
	switch m := n.(type) {
	case *ast.MappingNode:
		return m.Values, true
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{m}, true
	}
	return nil, false
}

func keyText(k ast.MapKeyNode) (string, bool) {
	if k.IsMergeKey() {
		return "", false
	}
	n, ok := k.(ast.Node)
	if !ok {
		return "", false
	}
	return scalarText(n)
}

func scalarText(n ast.Node) (string, bool) {
	switch s := n.(type) {
	case *ast.StringNode:
		return s.Value, true
	case *ast.LiteralNode:
		return s.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	}
	return "", false
}

func join(field, name string) string {
	if field == "" {
		return name
	}
	return field + "." + name
}

// FieldName is the name that a file gives a Go field, or empty.
func FieldName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "-" || !f.IsExported() {
		return ""
	}
	return name
}

// Fields lists the names that a file may use in a value of the type.
func Fields(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		if n := FieldName(t.Field(i)); n != "" {
			names = append(names, n)
		}
	}
	return names
}

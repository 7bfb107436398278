// Package yamlfile decodes the documents of a YAML file and says of a mistake
// in which file, line and field it stands.
//
// Contract: unknown fields, values of the wrong kind, anchors, aliases and
// tags are errors. A field that the text leaves out keeps the value it had.
package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// MaxBytes bounds a file.
const MaxBytes = 1 << 20

// maxDepth of nested values.
const maxDepth = 64

// Error is one mistake in a file. Line is 0 where it is not known.
type Error struct {
	File  string
	Line  int
	Field string // "spec.objectives[0].target"; empty for the document as a whole
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

// Document is one document of a file.
type Document struct {
	File  string
	body  ast.Node
	lines map[string]int          // field -> line
	field map[*token.Token]string // of the keys and values
}

// Parse splits a file into its documents; file is the name that errors give it.
func Parse(file string, data []byte) (docs []*Document, err error) {
	// The tree's builder is not ours; hostile text must not end the program.
	defer func() {
		if p := recover(); p != nil {
			docs, err = nil, &Error{File: file, Msg: fmt.Sprintf("is not YAML that can be read (%v)", p)}
		}
	}()
	if err := tame(data); err != nil {
		return nil, &Error{File: file, Msg: err.Error()}
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
		return nil, e
	}
	for _, d := range tree.Docs {
		if d.Body == nil || d.Body.Type() == ast.CommentType || d.Body.Type() == ast.NullType {
			continue
		}
		doc := &Document{File: file, body: d.Body, lines: map[string]int{}, field: map[*token.Token]string{}}
		if err := doc.index("", d.Body, 0); err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	if len(docs) == 0 {
		return nil, &Error{File: file, Line: 1, Msg: "is empty"}
	}
	return docs, nil
}

// tame refuses texts on which the parser, which is quadratic in how deep lists
// and braces nest, would take far more time than their size deserves.
func tame(data []byte) error {
	if len(data) > MaxBytes {
		return fmt.Errorf("has %d bytes, at most %d are read", len(data), MaxBytes)
	}
	if !utf8.Valid(data) {
		return errors.New("is not UTF-8 text")
	}
	open := 0
	for line := range bytes.Lines(data) {
		dashes := 0
		for text := bytes.TrimLeft(line, " "); len(text) > 1 && bytes.IndexByte([]byte("-?:"), text[0]) >= 0 && text[1] == ' '; dashes++ {
			text = bytes.TrimLeft(text[1:], " ")
		}
		for _, c := range line {
			switch c {
			case '[', '{':
				open++
			case ']', '}':
				open = max(0, open-1)
			}
		}
		if open > maxDepth || dashes > maxDepth {
			return fmt.Errorf("is nested deeper than %d levels", maxDepth)
		}
	}
	return nil
}

// index notes where each field stands.
func (d *Document) index(field string, n ast.Node, depth int) error {
	at := line(n)
	if _, ok := d.lines[field]; !ok {
		d.lines[field] = at
	}
	fail := func(msg string) error { return &Error{File: d.File, Line: at, Field: field, Msg: msg} }
	if depth > maxDepth {
		return fail("is nested too deep")
	}
	switch v := n.(type) {
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		return fail("anchors, aliases and tags are not allowed")
	case *ast.MappingNode:
		for _, p := range v.Values {
			if err := d.indexPair(field, p, depth); err != nil {
				return err
			}
		}
	case *ast.MappingValueNode:
		return d.indexPair(field, v, depth)
	case *ast.SequenceNode:
		for i, e := range v.Values {
			if err := d.index(fmt.Sprintf("%s[%d]", field, i), e, depth+1); err != nil {
				return err
			}
		}
	}
	if t := n.GetToken(); t != nil {
		if _, ok := d.field[t]; !ok {
			d.field[t] = field
		}
	}
	return nil
}

func (d *Document) indexPair(field string, p *ast.MappingValueNode, depth int) error {
	key, ok := p.Key.(ast.Node)
	if !ok || p.Key.IsMergeKey() {
		return &Error{File: d.File, Line: line(p), Field: field, Msg: "anchors, aliases and tags are not allowed"}
	}
	at := Join(field, keyText(key))
	d.lines[at] = line(key)
	if t := key.GetToken(); t != nil {
		d.field[t] = at
	}
	return d.index(at, p.Value, depth+1)
}

func keyText(n ast.Node) string {
	if s, ok := n.(*ast.StringNode); ok {
		return s.Value
	}
	return n.GetToken().Value
}

func line(n ast.Node) int {
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 0
}

// Join is the path of a field in another one.
func Join(field, name string) string {
	if field == "" {
		return name
	}
	return field + "." + name
}

// Line of the field, or of the nearest enclosing one that the document has.
func (d *Document) Line(field string) int {
	for field != "" {
		if l, ok := d.lines[field]; ok {
			return l
		}
		cut := strings.LastIndexAny(field, ".[")
		if cut < 0 {
			break
		}
		field = field[:cut]
	}
	return d.lines[""]
}

// Has says whether the document writes the field.
func (d *Document) Has(field string) bool { _, ok := d.lines[field]; return ok }

// Errorf is a mistake in a field.
func (d *Document) Errorf(field, format string, args ...any) *Error {
	return &Error{File: d.File, Line: d.Line(field), Field: field, Msg: fmt.Sprintf(format, args...)}
}

// Peek decodes what dst has a field for and ignores the rest.
func (d *Document) Peek(dst any) error { return d.decode(dst) }

// Decode reads the document into the value that dst points at.
func (d *Document) Decode(dst any) error { return d.decode(dst, yaml.Strict()) }

func (d *Document) decode(dst any, opts ...yaml.DecodeOption) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = d.Errorf("", "is not YAML that can be read (%v)", p)
		}
	}()
	err = yaml.NodeToValue(d.body, dst, opts...)
	if err == nil {
		return nil
	}
	e := d.Errorf("", "%s", strings.ReplaceAll(err.Error(), "\n", " "))
	var ye yaml.Error
	if !errors.As(err, &ye) {
		return e
	}
	e.Msg = strings.ReplaceAll(ye.GetMessage(), "\n", " ")
	if t := ye.GetToken(); t != nil {
		if t.Position != nil {
			e.Line = t.Position.Line
		}
		e.Field = d.field[t]
	}
	var unknown *yaml.UnknownFieldError
	var kind *yaml.TypeError
	var node *yaml.UnexpectedNodeTypeError
	switch {
	case errors.As(err, &unknown):
		e.Msg = "no such field; allowed are " + strings.Join(d.allowed(e.Field, reflect.TypeOf(dst)), ", ")
	case errors.As(err, &kind):
		e.Msg = "needs " + wanted(kind.DstType)
	case errors.As(err, &node):
		e.Msg = fmt.Sprintf("needs a %v, not a %v", node.Expected, node.Actual)
	}
	return e
}

// allowed lists the fields beside an unknown one.
func (d *Document) allowed(field string, t reflect.Type) []string {
	parent := ""
	if cut := strings.LastIndexByte(field, '.'); cut >= 0 {
		parent = field[:cut]
	}
	for _, step := range strings.FieldsFunc(parent, func(r rune) bool { return r == '.' || r == '[' }) {
		t = deref(t)
		switch {
		case strings.HasSuffix(step, "]") && t.Kind() == reflect.Slice, t.Kind() == reflect.Map:
			t = t.Elem()
		case t.Kind() == reflect.Struct:
			i := slices.IndexFunc(reflect.VisibleFields(t), func(f reflect.StructField) bool { return fieldName(f) == step })
			if i < 0 {
				return nil
			}
			t = reflect.VisibleFields(t)[i].Type
		}
	}
	t = deref(t)
	if t.Kind() != reflect.Struct {
		return nil
	}
	var names []string
	for i := range t.NumField() {
		if n := fieldName(t.Field(i)); n != "" && n != "-" {
			names = append(names, n)
		}
	}
	return names
}

func deref(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

func fieldName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}

func wanted(t reflect.Type) string {
	switch deref(t).Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "fields of its own"
	default:
		return "a whole number"
	}
}

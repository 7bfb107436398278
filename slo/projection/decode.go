package projection

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

//go:embed rates.yaml
var defaultRates []byte

// DefaultName is the name that errors and reports give the embedded file.
const DefaultName = "rates.yaml"

// DefaultYAML is the embedded rates file, for users to copy.
func DefaultYAML() []byte { return append([]byte(nil), defaultRates...) }

// Default is the model of the embedded rates file.
func Default() *Model {
	m, err := Parse(DefaultName, defaultRates)
	if err != nil {
		panic("projection: the embedded file is broken: " + err.Error())
	}
	return m
}

// Load reads a rates file. Its errors name file, line and field.
func Load(path string) (*Model, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("rates: %w", err)
	}
	return Parse(path, b)
}

// maxBytes of a rates file: little enough that no nesting exhausts the stack.
const maxBytes = 256 << 10

// FieldError is a mistake in a rates file.
type FieldError struct {
	File  string
	Line  int    // 0 where it is not known
	Field string // "classes[0].parts"; empty for the file as a whole
	Msg   string
}

func (e *FieldError) Error() string {
	s := e.File
	if e.Line > 0 {
		s += fmt.Sprintf(":%d", e.Line)
	}
	if e.Field != "" {
		s += ": " + e.Field
	}
	return s + ": " + e.Msg
}

// Parse reads the text of a rates file; file is the name that errors give it. A
// field that is not known, a second document, anchors and tags are errors. All
// mistakes of meaning are reported, joined, each a [*FieldError]; a mistake of
// form ends the reading at the first.
func Parse(file string, data []byte) (m *Model, err error) {
	whole := func(format string, args ...any) error {
		return &FieldError{File: file, Msg: fmt.Sprintf(format, args...)}
	}
	// The parser is not ours; hostile text must not end the program.
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, whole("is not YAML that can be read (%v)", p)
		}
	}()
	if len(data) > maxBytes {
		return nil, whole("has %d bytes, at most %d are read", len(data), maxBytes)
	}
	if !utf8.Valid(data) {
		return nil, whole("is not UTF-8 text")
	}
	if deep(data) {
		return nil, whole("is nested deeper than %d levels", maxDepth)
	}
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		return nil, positioned(file, nil, err)
	}
	fields, bad := places(tree)
	if bad != nil {
		bad.File = file
		return nil, bad
	}
	if len(fields.fields) == 0 {
		return nil, whole("is empty")
	}
	m = &Model{}
	if err := yaml.UnmarshalWithOptions(data, m, yaml.Strict()); err != nil {
		return nil, positioned(file, fields, err)
	}
	var errs []error
	m.validate(func(field, format string, args ...any) {
		errs = append(errs, &FieldError{File: file, Line: fields.line(field), Field: field, Msg: fmt.Sprintf(format, args...)})
	})
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return m, nil
}

const maxDepth = 32

// deep says whether the text nests deeper than any rates file has to: the
// parser is quadratic in that.
func deep(data []byte) bool {
	open := 0
	for _, line := range strings.Split(string(data), "\n") {
		dashes := 0
		for t := strings.TrimLeft(line, " "); strings.HasPrefix(t, "- ") || strings.HasPrefix(t, "? ") || strings.HasPrefix(t, ": "); dashes++ {
			t = strings.TrimLeft(t[2:], " ")
		}
		open += strings.Count(line, "[") + strings.Count(line, "{") - strings.Count(line, "]") - strings.Count(line, "}")
		open = max(open, 0)
		if open > maxDepth || dashes > maxDepth {
			return true
		}
	}
	return false
}

// index finds fields by place and places by field.
type index struct {
	fields map[string]int // line of a field
	names  map[[2]int]string
}

// line of the field, or of the nearest enclosing one that the file has.
func (x *index) line(field string) int {
	for field != "" {
		if l, ok := x.fields[field]; ok {
			return l
		}
		cut := strings.LastIndexAny(field, ".[")
		if cut < 0 {
			break
		}
		field = field[:cut]
	}
	return 1
}

// places walks the syntax tree.
func places(f *ast.File) (*index, *FieldError) {
	x := &index{fields: map[string]int{}, names: map[[2]int]string{}}
	var bad *FieldError
	position := func(n ast.Node) *token.Position {
		if t := n.GetToken(); t != nil {
			return t.Position
		}
		return nil
	}
	fail := func(field string, n ast.Node, msg string) {
		if bad == nil {
			bad = &FieldError{Field: field, Msg: msg}
			if p := position(n); p != nil {
				bad.Line = p.Line
			}
		}
	}
	note := func(field string, n ast.Node) {
		if p := position(n); p != nil {
			if _, ok := x.fields[field]; !ok {
				x.fields[field] = p.Line
			}
			if _, ok := x.names[[2]int{p.Line, p.Column}]; !ok {
				x.names[[2]int{p.Line, p.Column}] = field
			}
		}
	}
	var walk func(field string, n ast.Node)
	pair := func(field string, p *ast.MappingValueNode) {
		name := field
		if name != "" {
			name += "."
		}
		if t := p.Key.GetToken(); t != nil {
			name += t.Value
		}
		if k, ok := p.Key.(ast.Node); ok {
			note(name, k)
		}
		walk(name, p.Value)
	}
	walk = func(field string, n ast.Node) {
		switch v := n.(type) {
		case *ast.MappingNode:
			for _, p := range v.Values {
				pair(field, p)
			}
		case *ast.MappingValueNode:
			pair(field, v)
		case *ast.SequenceNode:
			note(field, v)
			for i, e := range v.Values {
				at := fmt.Sprintf("%s[%d]", field, i)
				note(at, e)
				walk(at, e)
			}
		case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
			fail(field, n, "anchors, aliases and tags are not allowed")
		case *ast.NullNode:
			fail(field, n, "has no value")
		case nil:
		default:
			note(field, v)
		}
	}
	documents := 0
	for _, d := range f.Docs {
		if d.Body == nil || d.Body.Type() == ast.CommentType {
			continue
		}
		if documents++; documents > 1 {
			fail("", d.Body, "a second document begins here, one is allowed")
			break
		}
		walk("", d.Body)
	}
	return x, bad
}

// positioned turns an error of goccy into one of ours.
func positioned(file string, x *index, err error) error {
	e := &FieldError{File: file, Msg: strings.ReplaceAll(err.Error(), "\n", " ")}
	var ye yaml.Error
	if !errors.As(err, &ye) {
		return e
	}
	e.Msg = strings.ReplaceAll(ye.GetMessage(), "\n", " ")
	t := ye.GetToken()
	if t == nil || t.Position == nil {
		return e
	}
	e.Line = t.Position.Line
	if x == nil {
		return e
	}
	e.Field = x.names[[2]int{t.Position.Line, t.Position.Column}]
	var unknown *yaml.UnknownFieldError
	var typed *yaml.TypeError
	switch {
	case errors.As(err, &unknown):
		e.Msg = "no such field; allowed are " + strings.Join(allowed(e.Field), ", ")
	case errors.As(err, &typed):
		e.Msg = fmt.Sprintf("%q is not %s", t.Value, wanted(typed.DstType))
	}
	return e
}

func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a text"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Int:
		return "a whole number"
	}
	return "a group of fields"
}

// allowed lists the fields that may stand beside the named one.
func allowed(field string) []string {
	t := reflect.TypeFor[Model]()
	steps := strings.Split(field, ".")
	for _, step := range steps[:len(steps)-1] {
		name, _, _ := strings.Cut(step, "[")
		for i := range t.NumField() {
			if fieldName(t.Field(i)) != name {
				continue
			}
			t = t.Field(i).Type
			for t.Kind() == reflect.Slice || t.Kind() == reflect.Pointer {
				t = t.Elem()
			}
			break
		}
		if t.Kind() != reflect.Struct {
			return nil
		}
	}
	var names []string
	for i := range t.NumField() {
		names = append(names, fieldName(t.Field(i)))
	}
	return names
}

func fieldName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}

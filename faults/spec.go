package faults

import (
	"fmt"
	"slices"
	"strings"
)

// Spec is a fault as a scenario writes it: "region-loss(region=us-east-1, mode=silent)".
type Spec struct {
	Kind   string
	Params map[string]string
}

// String is text that [Parse] reads back. Parameters stand in the order in
// which the kind documents them, unknown ones behind in alphabetical order.
func (s Spec) String() string {
	if len(s.Params) == 0 {
		return s.Kind
	}
	var order []string
	if k, ok := kinds[s.Kind]; ok {
		for _, p := range k.info.Params {
			order = append(order, p.Name)
		}
	}
	names := make([]string, 0, len(s.Params))
	for n := range s.Params {
		names = append(names, n)
	}
	slices.SortFunc(names, func(a, b string) int {
		i, j := slices.Index(order, a), slices.Index(order, b)
		switch {
		case i >= 0 && j >= 0:
			return i - j
		case i >= 0:
			return -1
		case j >= 0:
			return 1
		}
		return strings.Compare(a, b)
	})
	var b strings.Builder
	b.WriteString(s.Kind)
	for i, n := range names {
		b.WriteString([2]string{"(", ", "}[min(i, 1)])
		b.WriteString(n + "=" + s.Params[n])
	}
	b.WriteByte(')')
	return b.String()
}

// Parse reads a fault. It checks the form alone; [New] knows kinds and victims.
func Parse(text string) (Spec, error) {
	p := parser{text: text}
	s := Spec{Params: map[string]string{}}
	s.Kind = p.word()
	if s.Kind == "" {
		return Spec{}, p.fail("the name of a fault, such as region-loss")
	}
	if p.take('(') && !p.take(')') {
		for {
			name := p.word()
			if name == "" {
				return Spec{}, p.fail("the name of a parameter")
			}
			if _, ok := s.Params[name]; ok {
				return Spec{}, fmt.Errorf("fault %q: parameter %s is there twice", text, name)
			}
			if !p.take('=') {
				return Spec{}, p.fail("=")
			}
			value := p.word()
			if value == "" {
				return Spec{}, p.fail("a value for " + name)
			}
			s.Params[name] = value
			if p.take(')') {
				break
			}
			if !p.take(',') {
				return Spec{}, p.fail(", or )")
			}
		}
	}
	if p.space(); p.at < len(text) {
		return Spec{}, p.fail("the end")
	}
	return s, nil
}

type parser struct {
	text string
	at   int
}

func (p *parser) space() {
	for p.at < len(p.text) && (p.text[p.at] == ' ' || p.text[p.at] == '\t') {
		p.at++
	}
}

func (p *parser) take(c byte) bool {
	p.space()
	if p.at < len(p.text) && p.text[p.at] == c {
		p.at++
		return true
	}
	return false
}

func (p *parser) word() string {
	p.space()
	start := p.at
	for p.at < len(p.text) && isWord(p.text[p.at]) {
		p.at++
	}
	return p.text[start:p.at]
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_.:/", c) >= 0
}

func (p *parser) fail(want string) error {
	p.space()
	found := "the end"
	if p.at < len(p.text) {
		found = fmt.Sprintf("%q", p.text[p.at:])
	}
	return fmt.Errorf("fault %q, column %d: expected %s, found %s", p.text, p.at+1, want, found)
}

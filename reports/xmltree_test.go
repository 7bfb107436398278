package reports

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
)

// xmlNode is an element of a document.
type xmlNode struct {
	name     string
	attrs    map[string]string
	children []*xmlNode
}

func tree(text string) (*xmlNode, error) {
	d := xml.NewDecoder(strings.NewReader(text))
	top := &xmlNode{}
	stack := []*xmlNode{top}
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			if len(top.children) != 1 {
				return nil, errors.New("not one root")
			}
			return top.children[0], nil
		}
		if err != nil {
			return nil, err
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			n := &xmlNode{name: tok.Name.Local, attrs: map[string]string{}}
			for _, a := range tok.Attr {
				n.attrs[a.Name.Local] = a.Value
			}
			up := stack[len(stack)-1]
			up.children = append(up.children, n)
			stack = append(stack, n)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		}
	}
}

func contains(all []string, s string) bool { return slices.Contains(all, s) }

// position is where in the order something stands, -1 if nowhere.
func position(all []string, s string) int { return slices.Index(all, s) }

func plainNumber(s string) bool {
	v, err := strconv.ParseFloat(s, 64)
	return err == nil && v >= 0
}

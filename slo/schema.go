package slo

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

//go:embed schema.json
var schemaJSON []byte

// SchemaJSON is the JSON Schema of result.json.
func SchemaJSON() []byte { return bytes.Clone(schemaJSON) }

var compiled = sync.OnceValue(func() *jsonschema.Schema {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(schemaJSON))
	if err != nil {
		panic(fmt.Sprintf("schema.json: %v", err)) // embedded
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("result.json", doc); err != nil {
		panic(fmt.Sprintf("schema.json: %v", err))
	}
	return c.MustCompile("result.json")
})

// ValidateJSON says where a document is not a result of schema fivenines/v1.
func ValidateJSON(b []byte) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("result: it is no JSON: %w", err)
	}
	err = compiled().Validate(doc)
	var v *jsonschema.ValidationError
	if !errors.As(err, &v) {
		return err
	}
	for len(v.Causes) > 0 {
		v = v.Causes[0]
	}
	return fmt.Errorf("result: /%s: %s", strings.Join(v.InstanceLocation, "/"), v.DetailedOutput().Error)
}

// Decode reads a result.json. It is strict: the document must fit the schema,
// and hold one value with no unknown field.
func Decode(b []byte) (*Result, error) {
	if err := ValidateJSON(b); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	r := &Result{}
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("result: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("result: something follows the document")
	}
	return r, nil
}

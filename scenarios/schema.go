package scenarios

import (
	_ "embed"
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/fivenines/fivenines/fixtures"
	"github.com/fivenines/fivenines/scenarios/internal/strict"
)

//go:embed schema.json
var schemaJSON []byte

// Schema is the JSON Schema (2020-12) of scenario files, for editors. A test
// keeps it equal to what the Go types say.
func Schema() []byte { return schemaJSON }

// GenerateSchema makes the schema from the Go types.
func GenerateSchema() ([]byte, error) {
	s := SchemaOf(reflect.TypeFor[Spec](), nil)
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "fivenines scenario"
	s["required"] = []string{"name"}
	b, err := json.MarshalIndent(s, "", "  ")
	return append(b, '\n'), err
}

type schema = map[string]any

// SchemaOf follows the same rules by which package strict decodes. Types that read
// themselves from text and are not of this package have their schema in own.
func SchemaOf(t reflect.Type, own map[reflect.Type]map[string]any) map[string]any {
	schemaOf := func(t reflect.Type) schema { return SchemaOf(t, own) }
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s, ok := own[t]; ok {
		return s
	}
	switch t {
	case reflect.TypeFor[fixtures.Duration]():
		return schema{"type": "string", "pattern": `^[0-9.hmsuµn]+$`, "examples": []string{"500ms", "10s", "5m"}}
	case reflect.TypeFor[Percent]():
		return schema{"type": "string", "pattern": `^[0-9.]+ ?%$`, "examples": []string{"5 %"}}
	case reflect.TypeFor[Through]():
		return schema{"enum": []Through{ThroughNodes, ThroughBalancers, ThroughDNS}}
	case reflect.TypeFor[Homes]():
		return schema{"enum": []Homes{HomesAny, HomesLocal}}
	case reflect.TypeFor[TopologyRef]():
		return schema{"oneOf": []schema{
			{"type": "string", "description": "the name of an embedded topology, or the path of a file"},
			schemaOf(reflect.TypeFor[fixtures.Topology]()),
		}}
	case reflect.TypeFor[Until]():
		return schema{"oneOf": []schema{
			{"const": UntilReadBack},
			schemaOf(reflect.TypeFor[untilBlock]()),
		}}
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[strict.Alternative]()) || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()) {
		panic(fmt.Sprintf("scenarios: the schema has no rule for %v", t))
	}
	switch t.Kind() {
	case reflect.Struct:
		props := schema{}
		for i := range t.NumField() {
			f := t.Field(i)
			if name := strict.FieldName(f); name != "" {
				props[name] = schemaOf(f.Type)
			}
		}
		return schema{"type": "object", "properties": props, "additionalProperties": false}
	case reflect.Map:
		return schema{"type": "object", "additionalProperties": schemaOf(t.Elem())}
	case reflect.Slice:
		return schema{"type": "array", "items": schemaOf(t.Elem())}
	case reflect.Array:
		return schema{"type": "array", "items": schemaOf(t.Elem()), "minItems": t.Len(), "maxItems": t.Len()}
	case reflect.String:
		return schema{"type": []string{"string", "number", "boolean"}} // "0" may be written 0
	case reflect.Bool:
		return schema{"type": "boolean"}
	case reflect.Float64:
		return schema{"type": "number"}
	default:
		return schema{"type": "integer"}
	}
}

package gameday

import (
	"encoding/json"
	"reflect"

	"github.com/fivenines/fivenines/scenarios"
)

// Schema is the JSON Schema (2020-12) of game day files, for editors, made from
// the Go types.
func Schema() ([]byte, error) {
	const day = `(?:sun|mon|tue|wed|thu|fri|sat)[a-z]*`
	s := scenarios.SchemaOf(reflect.TypeFor[Config](), map[reflect.Type]map[string]any{
		reflect.TypeFor[Days]():      {"type": "string", "pattern": `^` + day + `(?: ?- ?` + day + `)?$`, "examples": []string{"sat", "mon-fri"}},
		reflect.TypeFor[TimeOfDay](): {"type": "string", "pattern": `^[0-9]{1,2}:[0-9]{2}$`, "examples": []string{"18:00"}},
		reflect.TypeFor[Date]():      {"type": "string", "pattern": `^[0-9]{4}-[0-9]{2}-[0-9]{2}$`, "examples": []string{"2026-12-20"}},
		reflect.TypeFor[Webhook]():   webhookSchema(),
	})
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "fivenines game day"
	s["required"] = []string{"name", "schedules"}
	b, err := json.MarshalIndent(s, "", "  ")
	return append(b, '\n'), err
}

// webhookSchema also says which words there are.
func webhookSchema() map[string]any {
	s := scenarios.SchemaOf(reflect.TypeFor[Webhook](), nil)
	fields := s["properties"].(map[string]any)
	fields["kind"] = map[string]any{"enum": kinds}
	fields["on"] = map[string]any{"type": "array", "items": map[string]any{"enum": events}}
	return s
}

package slo

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func goodResult(t testing.TB) []byte {
	t.Helper()
	rec, cfg := load(t, "lost-write-bad")
	r, err := analyze(rec, cfg)
	require.NoError(t, err)
	b, err := json.Marshal(r)
	require.NoError(t, err)
	return b
}

// later are fields that every result has now, and those of before they were measured
// have not: [compare] and game days read them too.
var later = []string{"restart_s"}

// The schema documents every field that a result has, and no other one, and
// requires those that were always there.
func TestSchemaIsTheResultsOwn(t *testing.T) {
	type object struct {
		Properties           map[string]json.RawMessage `json:"properties"`
		Required             []string                   `json:"required"`
		AdditionalProperties *bool                      `json:"additionalProperties"`
	}
	var schema struct {
		object
		Defs map[string]object `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(SchemaJSON(), &schema))
	seen := map[string]bool{}
	var check func(reflect.Type, object)
	check = func(typ reflect.Type, o object) {
		require.NotNil(t, o.AdditionalProperties, typ.Name())
		assert.False(t, *o.AdditionalProperties, typ.Name())
		var fields, required []string
		for i := range typ.NumField() {
			f := typ.Field(i)
			name, opts, _ := strings.Cut(f.Tag.Get("json"), ",")
			fields = append(fields, name)
			if opts != "omitempty" && !slices.Contains(later, name) {
				required = append(required, name)
			}
			ft := f.Type
			for ft.Kind() == reflect.Pointer || ft.Kind() == reflect.Slice {
				ft = ft.Elem()
			}
			if ft.Kind() == reflect.Struct && ft != reflect.TypeFor[time.Time]() && !seen[ft.Name()] {
				seen[ft.Name()] = true
				def, ok := schema.Defs[strings.ToLower(ft.Name()[:1])+ft.Name()[1:]]
				require.True(t, ok, "the schema defines %s", ft.Name())
				check(ft, def)
			}
		}
		var documented []string
		for name := range o.Properties {
			documented = append(documented, name)
		}
		assert.ElementsMatch(t, fields, documented, typ.Name())
		assert.ElementsMatch(t, required, o.Required, typ.Name())
	}
	check(reflect.TypeFor[Result](), schema.object)
	assert.Len(t, seen, len(schema.Defs)-1, "every definition is used (but the verdict, which is no struct)")
}

func TestValidateRejects(t *testing.T) {
	good := goodResult(t)
	require.NoError(t, ValidateJSON(good))
	for name, change := range map[string][2]string{
		"another schema":      {`"fivenines/v1"`, `"fivenines/v2"`},
		"unknown field":       {`"seed":`, `"sead":1,"seed":`},
		"missing field":       {`"seed":1,`, ``},
		"wrong type":          {`"seed":1`, `"seed":"1"`},
		"no verdict":          {`"verdict":"missed","summary"`, `"verdict":"passed","summary"`},
		"negative count":      {`"lost_writes":5`, `"lost_writes":-5`},
		"duration no object":  {`"rpo_s":{"value":31.52}`, `"rpo_s":31.52`},
		"not evaluated whole": {`"verdict":"missed","summary"`, `"verdict":"not evaluated","summary"`},
	} {
		t.Run(name, func(t *testing.T) {
			bad := bytes.Replace(good, []byte(change[0]), []byte(change[1]), 1)
			require.NotEqual(t, string(good), string(bad), "the change must change something")
			err := ValidateJSON(bad)
			require.Error(t, err)
			assert.NotContains(t, err.Error(), "\n")
			_, err = Decode(bad)
			assert.Error(t, err)
		})
	}
	for _, bad := range []string{"", "{", "[]", "null", string(good) + "{}"} {
		_, err := Decode([]byte(bad))
		assert.Error(t, err, "%.20q", bad)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(goodResult(f))
	f.Add([]byte(`{"schema":"fivenines/v1"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Decode(b)
		if err != nil {
			return
		}
		out, err := json.Marshal(r)
		require.NoError(t, err)
		require.NoError(t, ValidateJSON(out), "what was read can be written")
	})
}

package reports

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/fivenines/fivenines/slo"
)

// WriteJSON writes result.json: indented, fields in the order of the schema.
func WriteJSON(w io.Writer, r *slo.Result) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("result of %s as JSON: %w", r.Scenario, err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

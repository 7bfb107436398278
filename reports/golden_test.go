package reports

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/fivenines/fivenines/slo"
)

var update = flag.Bool("update", false, "write the golden files anew; read the difference before committing it")

type writer func(io.Writer, *slo.Result) error

var formats = map[string]writer{
	"html": WriteHTML, "json": WriteJSON, "xml": WriteJUnit, "md": WriteMarkdown, "svg": WriteBadge, "prom": WriteTextfile,
	"comment": func(w io.Writer, r *slo.Result) error { return WriteComment(w, r, nil) },
	"txt":     func(w io.Writer, r *slo.Result) error { return Terminal(w, r, false) },
	"ansi":    func(w io.Writer, r *slo.Result) error { return Terminal(w, r, true) },
}

func render(t testing.TB, format string, r *slo.Result) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, formats[format](&b, r), format)
	return b.String()
}

var (
	drawn = regexp.MustCompile(`(?s)(<svg class="picture.*?</desc>).*?(</svg>)`)
	css   = regexp.MustCompile(`(?s)<style>.*?</style>`)
	js    = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
)

// words is a page without the insides of its pictures, which have a golden
// file of their own.
func words(page string) string {
	page = css.ReplaceAllString(drawn.ReplaceAllString(page, "$1…$2"), "<style>…</style>")
	return js.ReplaceAllString(page, "<script>…</script>")
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "go test ./reports -update writes it")
	if string(want) != got {
		g, w := strings.Split(got, "\n"), strings.Split(string(want), "\n")
		for i := range min(len(g), len(w)) {
			if g[i] != w[i] {
				assert.Equal(t, w[i], g[i], "%s, line %d", path, i+1)
				break
			}
		}
		t.Errorf("%s is not what is written now; go test ./reports -update, then read the difference", path)
	}
}

func TestGolden(t *testing.T) {
	for name, make := range results {
		for format := range formats {
			if format == "json" && name == "trials" {
				continue // long, and nothing new
			}
			t.Run(name+"/"+format, func(t *testing.T) {
				got := render(t, format, make())
				if format == "html" {
					got = words(got)
				}
				golden(t, name+"."+format, got)
			})
		}
	}
	t.Run("pictures", func(t *testing.T) {
		all := regexp.MustCompile(`(?s)<svg class="picture wide.*?</svg>`).FindAllString(render(t, "html", missed()), -1)
		require.Len(t, all, 8, "two examples, timeline, the same by region, outage, phases by fault, milestones, fates")
		golden(t, "missed.pictures.svg", strings.Join(all, "\n"))
	})
}

func TestSameResultSameBytes(t *testing.T) {
	for format := range formats {
		want := render(t, format, missed())
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { assert.Equal(t, want, render(t, format, missed()), format) })
		}
		wg.Wait()
	}
}

func TestJSONReadsBack(t *testing.T) {
	for name, make := range results {
		var back slo.Result
		require.NoError(t, json.Unmarshal([]byte(render(t, "json", make())), &back))
		assert.Equal(t, make(), &back, name)
	}
	r := met()
	r.Load.AchievedRPS = math.NaN()
	err := WriteJSON(io.Discard, r)
	require.ErrorContains(t, err, "result of region-loss as JSON")
}

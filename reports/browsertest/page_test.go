package browsertest

import (
	"bytes"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// check looks at a page that shows a T, on a screen of its own, and says what is wrong.
type check[T any] struct {
	name string
	on   screen
	look func(*tab, T) []string
}

// common checks are those that any page must stand.
func common[T any]() []check[T] {
	asks := func(name string) func(*tab, T) []string {
		return func(p *tab, _ T) []string { p.openAll(); return p.check(name) }
	}
	return []check[T]{
		{"quiet", desk, func(p *tab, _ T) []string { p.openAll(); return p.quiet() }},
		{"structure", desk, asks("structure")},
		{"contrast, light", desk, asks("contrast")},
		{"contrast, dark", night, asks("contrast")},
		{"contrast, phone", phone, asks("contrast")},
		{"contrast, paper", sheet, asks("contrast")},
		{"width of a desk", desk, asks("width")},
		{"width of a phone", phone, asks("width")},
		{"width of paper", sheet, asks("width")},
		{"paper", desk, func(p *tab, _ T) []string { return printed(p) }},
	}
}

// aboveTheFold says whether the verdict is seen without scrolling.
func aboveTheFold(p *tab) []string {
	return do[[]string](p, `document.querySelector("h1").getBoundingClientRect().bottom <= innerHeight ? [] : ["the verdict is not on the first screen"]`)
}

// focus is where the keyboard is.
type focus struct {
	Name, What, Href string
	Visible          bool
}

// tabbed goes through the page with Tab and says what can't be reached or seen.
func tabbed(p *tab, visit func(focus) []string) []string {
	var bad []string
	do[bool](p, checksJS+"; true")
	want := do[int](p, `[...document.querySelectorAll("a[href]:not([tabindex='-1']), summary, input, [tabindex='0']")].filter((e) => e.checkVisibility()).length`)
	reached := 0
	for range want + 5 {
		p.press(kb.Tab)
		f := do[focus](p, "checks.focused()")
		if f.What == "" {
			break
		}
		reached++
		if reached == 1 && !strings.HasPrefix(f.Name, "Skip to") {
			bad = append(bad, "the first stop is "+f.Name)
		}
		if !f.Visible {
			bad = append(bad, fmt.Sprintf("the focus on %s %q can't be seen", f.What, f.Name))
		}
		bad = append(bad, visit(f)...)
	}
	if reached < want {
		bad = append(bad, fmt.Sprintf("Tab reaches %d of %d parts", reached, want))
	}
	return bad
}

// maxLoadMS is how long a page may take until it is loaded.
const maxLoadMS = 1000

// loaded says how long a page took at best of a few times: others use the machine too, and
// what the page itself needs is there in the fastest one.
func loaded(t testing.TB, b context.Context, page string) (bad []string) {
	best := 1e9
	for range 5 {
		p := open(t, b, page, desk)
		ms := do[float64](p, `new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => { const n = performance.getEntriesByType("navigation")[0]; done(Math.max(n.loadEventEnd, performance.getEntriesByType("paint").map((e) => e.startTime).reduce((a, b) => Math.max(a, b), 0))); })))`)
		best = min(best, ms)
		if best < maxLoadMS {
			break
		}
	}
	t.Logf("%d KiB were loaded and painted in %.0f ms", len(page)>>10, best)
	if best >= maxLoadMS {
		bad = append(bad, fmt.Sprintf("it takes %.0f ms to load", best))
	}
	return bad
}

var pdfPage = regexp.MustCompile(`/Type\s*/Page[^s]`)

// printed says what is wrong with the page on paper.
func printed(p *tab) (bad []string) {
	b := p.pdf()
	pages := len(pdfPage.FindAll(b, -1))
	switch {
	case !bytes.HasPrefix(b, []byte("%PDF-")):
		bad = append(bad, "it is no PDF")
	case pages < 2 || pages > 60:
		bad = append(bad, fmt.Sprintf("the PDF has %d pages", pages))
	case !bytes.Contains(b, []byte("/Font")):
		bad = append(bad, "there is no text on paper")
	}
	return bad
}

// breakage is a page that is broken in one way, and what the check must say of it.
type breakage struct {
	name, check string
	change      func(string) string
	want        string
}

// stands wants a page to pass checks, all or only those named, and to be small and
// quick.
func stands[T any](t *testing.T, b context.Context, name, page string, shows T, checks []check[T], only []string) {
	for _, c := range checks {
		if only == nil || slices.Contains(only, c.name) {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				assert.Empty(t, c.look(open(t, b, page, c.on), shows))
			})
		}
	}
	t.Run(name+"/load", func(t *testing.T) {
		assert.Less(t, len(page), 5<<20)
		assert.Empty(t, loaded(t, b, page))
	})
}

// caught fails unless each check sees what it is for.
func caught[T any](t *testing.T, b context.Context, good string, shows T, checks []check[T], pages []breakage) {
	used := map[string]bool{}
	for _, m := range pages {
		used[m.check] = true
		t.Run(m.name, func(t *testing.T) {
			broken := m.change(good)
			require.NotEqual(t, good, broken, "nothing was broken")
			for _, c := range checks {
				if c.name == m.check {
					assert.Contains(t, strings.Join(c.look(open(t, b, broken, c.on), shows), "\n"), m.want)
					return
				}
			}
			t.Fatalf("no check is called %s", m.check)
		})
	}
	for _, c := range checks {
		assert.True(t, used[c.name], "no broken page shows that the check %q can fail", c.name)
	}
}

// Ways to break a page.

// unlocked is the page without the policy that forbids it to fetch or run anything.
func unlocked(page string) string {
	return strings.Replace(page, `<meta http-equiv="Content-Security-Policy"`, `<meta name="no"`, 1)
}

func script(js string) func(string) string {
	return func(page string) string {
		return strings.Replace(unlocked(page), "</main>", "</main><script>"+js+"</script>", 1)
	}
}

func swap(old, new string) func(string) string {
	return func(page string) string { return strings.Replace(page, old, new, 1) }
}

func style(css string) func(string) string { return swap("</style>", css+"</style>") }

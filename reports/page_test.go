package reports

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestPageStandsAlone(t *testing.T) {
	for name, make := range results {
		page := render(t, "html", make())
		assert.NoError(t, standsAlone(page), name)
		assert.NotContains(t, page, "Liberation Sans;", "a font of the drawing in %s", name)
		assert.Empty(t, regexp.MustCompile(`(fill|stroke):#[0-9A-Fa-f]+`).FindAllString(drawnOnly(page), 3), "a colour without a name in %s", name)
		for _, v := range regexp.MustCompile(`var\(--([a-z-]+)\)`).FindAllStringSubmatch(page, -1) {
			assert.Contains(t, pageStyle, "--"+v[1]+":", "%s uses a colour that the style does not define", name)
		}
	}
}

// standsAlone says what a page would load or run that is not its own.
func standsAlone(page string) error {
	page = strings.ReplaceAll(page, `xmlns="http://www.w3.org/2000/svg"`, "")
	for _, bad := range []string{"http://", "https://", "@import", "url(", "<iframe", "<object", "javascript:", "<script ", "<link rel=\"stylesheet"} {
		if strings.Contains(page, bad) {
			return fmt.Errorf("it has %s", bad)
		}
	}
	scripts := js.FindAllStringSubmatch(page, -1)
	if len(scripts) != 1 || strings.Count(page, "<script") != 1 {
		return fmt.Errorf("it has %d scripts", strings.Count(page, "<script"))
	}
	sum := sha256.Sum256([]byte(scripts[0][1]))
	allowed := "script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'\">"
	if !strings.Contains(html.UnescapeString(page), allowed) {
		return errors.New("its policy does not allow its script")
	}
	if csp := regexp.MustCompile(`Content-Security-Policy" content="([^"]*)"`).FindStringSubmatch(page); csp == nil || !strings.HasPrefix(html.UnescapeString(csp[1]), "default-src 'none';") {
		return errors.New("its policy allows more than it needs")
	}
	return nil
}

func TestWhatDoesNotStandAloneIsCaught(t *testing.T) {
	page := render(t, "html", met())
	require.NoError(t, standsAlone(page))
	for old, c := range map[string]struct{ new, want string }{
		"<footer>":         {`<footer><img src="https://example.com/x.png">`, "https://"},
		"<script>":         {"<script>//", "policy does not allow"},
		"</footer>":        {"</footer><script>1</script>", "2 scripts"},
		"default-src":      {"x-src", "allows more"},
		"system-ui, -appl": {"url(x), -appl", "url("},
	} {
		require.Contains(t, page, old)
		require.ErrorContains(t, standsAlone(strings.Replace(page, old, c.new, 1)), c.want)
	}
}

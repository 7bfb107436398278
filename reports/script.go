package reports

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
)

//go:embed report.js
var pageScript string

// policy is what the page may load and run: nothing but its style and the script
// of its pictures. Without the script the page says all the same in its tables.
var policy = func() string {
	sum := sha256.Sum256([]byte(pageScript))
	return "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}()

// shell is what every page has around its text.
type shell struct {
	CSS    template.CSS
	JS     template.JS
	Policy string
}

func newShell() shell {
	return shell{CSS: template.CSS(pageStyle), JS: template.JS(pageScript), Policy: policy}
}

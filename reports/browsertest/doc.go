// Package browsertest opens the HTML reports in a real Chromium and looks at them as a
// reader does: what the first screen says, that nothing is fetched or logged, the
// keyboard, contrast in light and dark, names for a screen reader, a phone's width, paper
// and the time to load. It holds nothing but tests.
//
// They are skipped where there is no Chromium, unless CI is true. FIVENINES_CHROMIUM names one
// that is not on the PATH. go test ./reports/browsertest -screenshots docs/screenshots
// writes the pictures of the documentation.
package browsertest

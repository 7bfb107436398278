// Package reports turns one [slo.Result] into what people and machines read:
// result.json, a JUnit file for CI, Markdown for a pull request, a table for the
// terminal, a badge, and an HTML page for stakeholders.
//
// What every writer here promises:
//
//   - The result is all that is read. The same result gives the same bytes: no
//     clock, no locale, no map order.
//   - Nothing green is shown but what the result says is met. An unknown verdict
//     is shown as inconclusive, and numbers are never rounded across their target.
//   - Strings of the result are data. They come from scenario files, from the
//     system under test and from whoever wrote a stored run, so none of them can
//     bring markup, terminal control or a picture's code into an output.
//   - Colour never carries meaning alone.
//   - The size is bounded, whatever the length of the run: long series are
//     downsampled by their worst values, long lists are cut and say so.
//
// Pictures are SVG in the page itself. Axes and lines are laid out by gonum/plot, whose
// colours become CSS variables, so that one picture serves light, dark and paper; what
// gonum/plot has no form for (operations, phases, fates) is drawn here. Both carry their
// values as titles, for the pointer, and report.js reads the same titles out with a slider,
// for the keyboard. Without the script the tables beside the pictures say all the same.
//
// The writers differ only in form: what a row says (measured, margin, what to
// do) is made once, in rows.go.
package reports

// Package closest finds what a typo meant.
package closest

import "strings"

// Meant ends an error about a name that does not exist: what was probably
// meant, or what there is.
func Meant(name string, names []string) string {
	if c := To(name, names); c != "" {
		return "did you mean " + c + "?"
	}
	if len(names) == 0 {
		return "there are none"
	}
	return "there are " + strings.Join(names, ", ")
}

// To returns the candidate that a typo most likely meant, or "" if none
// is near: at most a third of its letters differ.
func To(word string, candidates []string) string {
	best, bestDist := "", 1<<30
	w := strings.ToLower(word)
	if len(w) > 64 {
		return ""
	}
	for _, c := range candidates {
		d := distance(w, strings.ToLower(c))
		if d < bestDist && d <= max(1, (len(c)+1)/3) {
			best, bestDist = c, d
		}
	}
	return best
}

// distance counts insertions, deletions, substitutions and swaps of
// neighbouring letters (optimal string alignment).
func distance(a, b string) int {
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}

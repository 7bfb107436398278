package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// wellFormed says what is wrong with a line that names commands of this program:
// a command or flag that does not exist. It runs nothing, and lines of other
// programs are none of its business.
func wellFormed(root *cobra.Command, line string) error {
	for _, part := range commandsOf(line) {
		words := fieldsOf(part)
		for len(words) > 0 && (words[0] == "nice" || words[0] == "!" || words[0] == "exec") {
			words = words[1:]
		}
		if len(words) > 3 && words[0] == "go" && words[1] == "run" && words[2] == "./cmd/fivenines" {
			words = words[2:]
		}
		if len(words) == 0 || words[0] != "fivenines" && words[0] != "./cmd/fivenines" {
			continue
		}
		words = words[1:]
		if len(words) == 0 || strings.HasPrefix(words[0], "-") {
			continue
		}
		cmd, rest, err := root.Find(words)
		if err != nil {
			return err
		}
		if cmd == root {
			return fmt.Errorf("fivenines has no command %s", words[0])
		}
		for _, w := range rest {
			name, long := strings.CutPrefix(w, "--")
			if name, _, _ = strings.Cut(name, "="); !long || name == "" || name == "help" {
				continue
			}
			if cmd.Flags().Lookup(name) == nil && cmd.InheritedFlags().Lookup(name) == nil {
				return fmt.Errorf("%s has no flag --%s", cmd.CommandPath(), name)
			}
		}
	}
	return nil
}

// commandsOf splits a line of shell where a command ends. Quoted text stays together.
func commandsOf(line string) []string {
	var out []string
	var cur strings.Builder
	quote := rune(0)
	end := func() {
		out = append(out, cur.String())
		cur.Reset()
	}
	prev := ' '
	for _, r := range line {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case r == '#' && (prev == ' ' || prev == '\t'):
			end()
			return out
		case strings.ContainsRune(";|&()`", r):
			end()
			prev = r
			continue
		}
		cur.WriteRune(r)
		prev = r
	}
	end()
	return out
}

// fieldsOf is strings.Fields that leaves quoted text together.
func fieldsOf(s string) []string {
	quote := rune(0)
	return strings.FieldsFunc(s, func(r rune) bool {
		switch {
		case quote != 0:
			if r == quote {
				quote = 0
			}
			return false
		case r == '\'' || r == '"':
			quote = r
			return false
		}
		return r == ' ' || r == '\t' || r == '\n'
	})
}

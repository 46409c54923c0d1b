package plan

import (
	"fmt"
	"slices"
	"strings"
)

// checkPattern refuses patterns that can match nothing: a bare word that is no role.
func checkPattern(p string) error {
	if p == "" {
		return fmt.Errorf(`empty pattern; give a role or a glob, "*" for every weight`)
	}
	if strings.ContainsAny(p, "*?.") || slices.Contains(Roles(), p) {
		return nil
	}
	return fmt.Errorf("%q is neither a role (%s) nor a glob over weight names (*.mlp.*)", p, strings.Join(Roles(), ", "))
}

// matches reports whether a pattern means this weight.
func matches(pattern, name, role string) bool {
	if group, ok := groups()[pattern]; ok {
		return slices.Contains(group, role)
	}
	return pattern == role || glob(pattern, name)
}

// glob reports whether name matches pattern: * stands for any run of characters, dots included, ? for one character.
func glob(pattern, name string) bool {
	// Greedy with one point to return to: the last *.
	star, resume := -1, 0
	p, n := 0, 0
	for n < len(name) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, resume = p, n
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[n]):
			p++
			n++
		case star >= 0:
			resume++
			p, n = star+1, resume
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

package pruning

import (
	"strings"
	"testing"
)

func TestNamesAreKnown(t *testing.T) {
	for _, name := range append(Scorers(), "random-7") {
		if s, err := ParseScorer(name); err != nil || s.Name() != strings.TrimSuffix(name, "-7") {
			t.Errorf("scorer %s: %v, %v", name, s, err)
		}
	}
	for _, name := range append(Selectors(), "2:4", "1:64", "63:64") {
		if s, err := ParseSelector(name); err != nil || s.Name() != name {
			t.Errorf("selector %s: %v, %v", name, s, err)
		}
	}
	for _, name := range Solvers() {
		if s, err := ParseSolver(name); err != nil || s.Name() != name {
			t.Errorf("solver %s: %v, %v", name, s, err)
		}
	}
}

func TestOtherNamesAreRefusedWithWhatThereIs(t *testing.T) {
	for _, name := range []string{"", "4:4", "0:4", "2:65", "02:4", "2:4:8", "-1:4", "rows"} {
		if s, err := ParseSelector(name); err == nil || !strings.Contains(err.Error(), "2:4") {
			t.Errorf("selector %q: %v, %v", name, s, err)
		}
	}
	if _, err := ParseScorer("random-x"); err == nil || !strings.Contains(err.Error(), "wanda") {
		t.Errorf("scorer: %v", err)
	}
	if _, err := ParseSolver("sparsegpt"); err == nil || !strings.Contains(err.Error(), "obs-refit") {
		t.Errorf("solver: %v", err)
	}
}

package structure

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestGroupRequests(t *testing.T) {
	c := tiny(t, 5)
	for text, want := range map[string]string{"all": "[[0 1 2 3 4]]", "2": "[[0 1] [2 3] [4]]", "0-1|3,4": "[[0 1] [3 4]]", "kl:1": "[[0 1 2 3 4]]"} {
		q, err := ParseGroups(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := GroupLayers(t.Context(), c, nil, q, Options{}); err != nil || fmt.Sprint(got) != want {
			t.Errorf("%s: %v (%v), want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "kl:", "kl:0", "fewer:2", "x", "kl:1.5"} {
		if _, err := ParseGroups(text); err == nil || !strings.Contains(err.Error(), "give the size") {
			t.Errorf("%q: error %v", text, err)
		}
	}
	q, _ := ParseGroups("kl:6")
	if _, err := GroupLayers(t.Context(), c, words(400), q, Options{}); err == nil {
		t.Error("six groups of five layers")
	}
}

// Groups are cut where the mean predictions drift most.
func TestGroupsAreCutWherePredictionsDrift(t *testing.T) {
	c := tiny(t, 5)
	drift, err := Drift(t.Context(), c, words(900), Options{Context: 32})
	if err != nil {
		t.Fatal(err)
	}
	if len(drift) != 4 || slices.Min(drift) < 0 || math.IsNaN(slices.Max(drift)) {
		t.Fatalf("drift %v", drift)
	}
	more, err := Drift(t.Context(), c, words(900), Options{Context: 32, Workers: 3})
	if err != nil || !slices.Equal(more, drift) {
		t.Errorf("drift depends on workers: %v, %v (%v)", drift, more, err)
	}
	q, _ := ParseGroups("kl:2")
	groups, err := GroupLayers(t.Context(), c, words(900), q, Options{Context: 32})
	if err != nil {
		t.Fatal(err)
	}
	if end := len(groups[0]) - 1; drift[end] != slices.Max(drift) {
		t.Errorf("groups %v of drift %v", groups, drift)
	}
	if got := fmt.Sprint(cut(5, []float64{1, 3, 3, 2}, 3)); got != "[[0 1] [2] [3 4]]" {
		t.Errorf("cut %s", got)
	}
}

package plan

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"testing"

	"pith/internal/synth/llama"
)

func TestBudgetsAreKeptAndUsedUpToASixteenthOfABit(t *testing.T) {
	for _, shape := range []string{"tiny", "mini", "odd"} {
		c := open(t, llama.Shapes()[shape])
		for _, bits := range []float64{1.9, 2, 2.31, 2.5, 3, 3.25, 4, 6.5} {
			r, err := Budget(c, BudgetOptions{BitsPerWeight: bits, Code: "lut8"})
			if err != nil {
				t.Fatal(err)
			}
			p, err := Resolve(c, r)
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Totals.BitsPerWeight; got > bits || got < bits-1./16 {
				t.Errorf("%s at %v bits per weight: the plan takes %v", shape, bits, got)
			}
			if p.Fallbacks() > 0 {
				t.Errorf("%s: %d fallbacks", shape, p.Fallbacks())
			}
		}
	}
}

func TestBudgetUsesErrorFeedbackWhereThereIsData(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	for _, data := range []bool{false, true} {
		r, err := Budget(c, BudgetOptions{BitsPerWeight: 3, Data: data})
		if err != nil {
			t.Fatal(err)
		}
		p, err := Resolve(c, r)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range p.Lines() {
			want := "nearest"
			if data && l.Role != "embedding" {
				want = "ldlq"
			}
			if !l.Keeps() && l.Method != want {
				t.Errorf("data %v: %s by %s, want %s", data, l.Weight, l.Method, want)
			}
		}
	}
}

func TestBudgetsThatCannotBeKeptAreErrors(t *testing.T) {
	c := open(t, llama.Shapes()["tiny"])
	for _, bits := range []float64{0.5, -1, 0, math.NaN(), math.Inf(1), 17} {
		_, err := Budget(c, BudgetOptions{BitsPerWeight: bits})
		if err == nil || !strings.Contains(err.Error(), "bits") && !strings.Contains(err.Error(), "--bpw") {
			t.Errorf("%v bits per weight: %v", bits, err)
		}
	}
}

// What an error about a budget that is too small asks for is enough, and a sixteenth of a bit less is not; no budget asks for rates that take ages.
func TestTheSmallestAndTheLargestBudget(t *testing.T) {
	for _, shape := range []string{"tiny", "odd"} {
		c := open(t, llama.Shapes()[shape])
		_, err := Budget(c, BudgetOptions{BitsPerWeight: 0.5, Code: "lut8"})
		_, text, ok := strings.Cut(fmt.Sprint(err), "raise --bpw to ")
		least, bad := strconv.ParseFloat(text, 64)
		if !ok || bad != nil {
			t.Fatalf("%s: %v", shape, err)
		}
		if _, err := Budget(c, BudgetOptions{BitsPerWeight: least, Code: "lut8"}); err != nil {
			t.Errorf("%s: %g bits were asked for, and then: %v", shape, least, err)
		}
		if _, err := Budget(c, BudgetOptions{BitsPerWeight: least - 1./16, Code: "lut8"}); err == nil {
			t.Errorf("%s: less than %g bits are enough", shape, least)
		}
		for _, bits := range []float64{7.99, 8} {
			r, err := Budget(c, BudgetOptions{BitsPerWeight: bits})
			if err != nil {
				t.Fatal(err)
			}
			for _, rule := range r.Rules {
				if !strings.HasSuffix(rule.Codec, "-7.5-had") {
					t.Errorf("%s at %g bits: %s", shape, bits, rule.Codec)
				}
			}
		}
	}
}

func TestReadyRecipesAreNamedByTheirBits(t *testing.T) {
	for name, want := range map[string]float64{"pith-2.5": 2.5, "pith-3": 3, "pith-3.25": 3.25} {
		if bits, ok := ParseBudget(name); !ok || bits != want {
			t.Errorf("%s: %v %v", name, bits, ok)
		}
	}
	for _, name := range []string{"", "pith-", "pith-x", "recipe.yaml", "pith.yaml"} {
		if _, ok := ParseBudget(name); ok {
			t.Errorf("%q is taken for a ready recipe", name)
		}
	}
}

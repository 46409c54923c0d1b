package quantizers

import (
	"slices"
	"strings"
	"testing"

	"pith/approx"
	"pith/calib"
)

var _ approx.Method = AWQ{}

// salient returns a problem in which one feature in 50 is far larger than the others, as LLM activations have it.
func salient(rows, cols int) approx.Problem {
	x := gaussian(31, 64, cols)
	for t := range x.Rows {
		for c := 7; c < cols; c += 50 {
			x.Row(t)[c] *= 30
		}
	}
	s := calib.NewStats(cols)
	s.Observe(x)
	return approx.Problem{Name: "w", W: gaussian(32, rows, cols), Stats: s}
}

func TestAWQLowersTheErrorOfOutputsWhereFeaturesDiffer(t *testing.T) {
	p := salient(48, 512)
	for _, name := range []string{"int3-g128", "int4-g64-asym", "int3-grow"} {
		_, plain := solve(t, Nearest{Codec: parse(t, name)}, p)
		term, scaled, err := AWQ{Codec: parse(t, name+"-scaled")}.Solve(p)
		if err != nil {
			t.Fatal(err)
		}
		if term.Codec() != name+"-scaled" || scaled.SquaredError > 0.8*plain.SquaredError {
			t.Errorf("%s: error of outputs %g, of nearest %g", term.Codec(), scaled.SquaredError, plain.SquaredError)
		}
	}
}

// α = 0 is among what is tried: the error of the rows looked at is never larger than without factors.
func TestAWQNeverLosesToNearest(t *testing.T) {
	for seed := range uint64(4) {
		s := calib.NewStats(256)
		s.Observe(gaussian(seed, 32, 256))
		p := approx.Problem{W: gaussian(seed+40, 32, 256), Stats: s}
		_, plain := solve(t, Nearest{Codec: parse(t, "int3-g64")}, p)
		_, scaled, err := AWQ{Codec: parse(t, "int3-g64-scaled")}.Solve(p)
		if err != nil {
			t.Fatal(err)
		}
		if scaled.SquaredError > plain.SquaredError {
			t.Errorf("error %g, of nearest %g", scaled.SquaredError, plain.SquaredError)
		}
	}
}

func TestAWQWithoutStatisticsIsNearestAndSaysSo(t *testing.T) {
	p := approx.Problem{Name: "w", W: gaussian(50, 8, 256)}
	term, report, err := AWQ{Codec: parse(t, "int4-g64-scaled")}.Solve(p)
	if err != nil {
		t.Fatal(err)
	}
	plain, _ := solve(t, Nearest{Codec: parse(t, "int4-g64")}, p)
	if !slices.Equal(term.Parts()[0].Data, plain.Parts()[0].Data) || !strings.Contains(report.Fallback, "no statistics") {
		t.Errorf("fallback %q", report.Fallback)
	}
	if _, _, err := (AWQ{Codec: parse(t, "int4-g64")}).Solve(p); err == nil || !strings.Contains(err.Error(), "use int4-g64-scaled") {
		t.Errorf("a codec without factors: %v", err)
	}
}

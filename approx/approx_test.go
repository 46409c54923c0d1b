package approx

import (
	"math"
	"testing"

	"pith/calib"
	"pith/codec"
	"pith/tensor"
)

func TestMeasureWeighsColumnsByTheirInputs(t *testing.T) {
	w := tensor.Of(2, 3, []float32{1, 2, 3, 4, 5, 6})
	// The term is W plus (1, 0, -2) in each row.
	approximation := tensor.Of(2, 3, []float32{2, 2, 1, 5, 5, 4})
	data := make([]byte, 24)
	tensor.Encode(data, tensor.F32, approximation.Data)
	term, err := codec.Dense("w", tensor.F32, 2, 3, data)
	if err != nil {
		t.Fatal(err)
	}
	if r := Measure(Problem{W: w}, term); r != (Report{SquaredError: 10, SquaredNorm: 91}) {
		t.Errorf("unweighted %+v", r)
	}
	stats := calib.NewStats(3)
	stats.Observe(tensor.Of(1, 3, []float32{1, 5, 2}))
	r := Measure(Problem{W: w, Stats: stats}, term)
	if r != (Report{SquaredError: 2 + 4*8, SquaredNorm: 1 + 16 + 25*29 + 4*45}) {
		t.Errorf("weighted %+v", r)
	}
	if got := r.Add(Report{SquaredError: 1, SquaredNorm: 2}); got.SquaredError != r.SquaredError+1 || got.SquaredNorm != r.SquaredNorm+2 {
		t.Errorf("Add gives %+v", got)
	}
}

func TestRelativeErrorOfZeroIsZero(t *testing.T) {
	if got := (Report{}).Relative(); got != 0 {
		t.Errorf("0/0 = %g", got)
	}
	if got := (Report{SquaredError: 1, SquaredNorm: 4}).Relative(); got != 0.25 {
		t.Errorf("1/4 = %g", got)
	}
	if got := (Report{SquaredError: 1}).Relative(); !math.IsInf(got, 1) {
		t.Errorf("an error of nothing is %g", got)
	}
}

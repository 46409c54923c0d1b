package eval

import (
	"context"
	"errors"
	"testing"
)

func TestDecompositionsAreTimed(t *testing.T) {
	o := LinalgOptions{Sizes: []int{16, 40}, Rows: 100, Cols: 150, Rank: 5, Workers: 2}
	list, err := MeasureLinalg(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 7 {
		t.Errorf("%d measurements, want 3 for each size and one more", len(list))
	}
	for _, s := range list {
		if s.What == "" || !(s.Seconds > 0 && s.Seconds < 60) {
			t.Errorf("%+v", s)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := MeasureLinalg(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
}

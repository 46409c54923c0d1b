package eval

import (
	"context"
	"slices"
	"testing"
)

func TestSparseCodecsAreMeasuredBesideTheirRivals(t *testing.T) {
	names := WithRivals([]string{"int8-grow-s50", "int8-grow-csr90", "f16", "f16-2:4", "q8_0"})
	if want := []string{"int8-grow", "int8-grow-s50", "int8-grow-csr90", "f16", "f16-2:4", "q8_0"}; !slices.Equal(names, want) {
		t.Fatalf("%q, want %q", names, want)
	}
	var rows []CodecRow
	for _, name := range []string{"int8-grow", "int8-grow-s50", "int8-grow-csr90", "int8-grow-s70e"} {
		row, err := MeasureCodec(context.Background(), name, CodecOptions{Samples: 1, Bytes: 1 << 20, Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	CompareDense(rows)
	for _, r := range rows {
		if sparse := r.Sparsity > 0; sparse != (r.VsDense > 0) || sparse != (r.Dense != "") {
			t.Errorf("%+v", r)
		}
	}
	if n := len(SparseVerdicts(rows)); n != 2 {
		t.Errorf("%d verdicts: %q", n, SparseVerdicts(rows))
	}
}

func TestBreakEvenIsTheSparsityFromWhichOnNothingIsSlower(t *testing.T) {
	rows := []CodecRow{{Codec: "f16", DecodeWPSAll: 10}}
	for i, speed := range []float64{5, 11, 9, 10, 20} {
		rows = append(rows, CodecRow{Codec: "x", Dense: "f16", layout: "s", Sparsity: 0.1 * float64(i+1), DecodeWPSAll: speed})
	}
	rows = append(rows, CodecRow{Codec: "y", Dense: "f16", layout: "csr", Sparsity: 0.9, DecodeWPSAll: 3}, CodecRow{Codec: "z", Dense: "f16", layout: "2:4", Sparsity: 0.5, DecodeWPSAll: 13})
	CompareDense(rows)
	if rows[1].BeatsDenseFrom != 0.4 || rows[5].VsDense != 2 || rows[6].BeatsDenseFrom != 0 || rows[7].BeatsDenseFrom != 0.5 {
		t.Errorf("%+v", rows)
	}
	want := []string{"f16-s…: at least as fast as f16 from 40.0 % pruned", "f16-csr…: slower than f16 at all measured sparsities", "f16-2:4: at least as fast as f16 from 50.0 % pruned"}
	if got := SparseVerdicts(rows); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

package quantizers

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"pith/approx"
	"pith/calib"
	"pith/codec"
	"pith/codec/codectest"
)

// zipf is an embedding whose row r is read about 1/(rank+1) times, rows in no order of rank.
func zipf(rows, cols int) approx.Problem {
	s := &calib.Stats{Counts: make([]int64, rows)}
	for rank := range rows {
		n := int64(10 * rows / (rank + 1) / 10)
		s.Counts[(rank*37+11)%rows] = n
		s.Tokens += n
	}
	return approx.Problem{Name: "embedding", W: codectest.Matrix(41, rows, cols), Stats: s}
}

func frequent(t *testing.T, name string, p approx.Problem) (codec.Term, approx.Report) {
	t.Helper()
	c, err := codec.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	term, report, err := Frequent{Codec: c}.Solve(p)
	if err != nil {
		t.Fatal(err)
	}
	return term, report
}

// lossAsRead is Σ n·|e|² over rows that are read n times, of any term.
func lossAsRead(p approx.Problem, term codec.Term) float64 {
	loss, _ := rowLoss(p, term, Frequent{}.weights(p))
	return loss
}

func TestTheMostFrequentRowsHaveTheFirstCodec(t *testing.T) {
	p := zipf(210, 64)
	p.Stats.Counts[3], p.Stats.Counts[4], p.Stats.Counts[200] = 9, 9, 9 // equal ones: among the first 21, or not
	term, report := frequent(t, "rows0.1-f32/int4-g64", p)
	got := codectest.Decode(term)
	order := make([]int, 210)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return int(p.Stats.Counts[j] - p.Stats.Counts[i]) })
	for rank, r := range order {
		if exact := slices.Equal(got.Row(r), p.W.Row(r)); exact != (rank < 21) {
			t.Errorf("row %d, read %d times, %dth: exact is %v", r, p.Stats.Counts[r], rank, exact)
		}
	}
	if report.Fallback != "" || report.Proxy <= 0 || report.Proxy >= report.ProxyNorm || report.Proxy != lossAsRead(p, term) {
		t.Errorf("report %+v", report)
	}
	c, _ := codec.Parse("rows0.1-f32/int4-g64")
	if term.Bytes() != c.Size(210, 64) {
		t.Errorf("%d bytes, said %d", term.Bytes(), c.Size(210, 64))
	}
}

// As rows are read, two precisions lose less than the lower alone, and, on what Zipf reads, less than one in between of no fewer bytes.
func TestTwoPrecisionsLoseLessThanOneOfTheirBytes(t *testing.T) {
	p := zipf(2000, 128)
	mixed, report := frequent(t, "rows0.2-int8-g64/int4-g64", p) // 4.8 bits and scales
	_, byNorm := frequent(t, "rows0.2-int8-g64/int4-g64", approx.Problem{Name: p.Name, W: p.W})
	if !strings.Contains(byNorm.Fallback, "largest norm") {
		t.Errorf("without counts: %q", byNorm.Fallback)
	}
	for name, most := range map[string]float64{"int4-g64": 0.5, "int5-g64": 1} {
		c, _ := codec.Parse(name)
		term, _, err := Nearest{Codec: c}.Solve(p)
		if err != nil {
			t.Fatal(err)
		}
		if name == "int5-g64" && term.Bytes() < mixed.Bytes() {
			t.Fatalf("%s has %d bytes, fewer than %d", name, term.Bytes(), mixed.Bytes())
		}
		if loss := lossAsRead(p, term); report.Proxy > most*loss {
			t.Errorf("loses %g, %s %g", report.Proxy, name, loss)
		}
	}
}

func TestFrequentGivesTheSameBytesForAnyWorkers(t *testing.T) {
	p := zipf(300, 256)
	var want []byte
	for _, workers := range []int{1, 2, 5} {
		p.Workers = workers
		c, _ := codec.Parse("rows0.3-int8-g64/tcq-lut7-3")
		term, report, err := Frequent{Codec: c, Search: true}.Solve(p)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for _, part := range term.Parts() {
			got = append(got, part.Data...)
		}
		if want == nil {
			want = got
		}
		if !bytes.Equal(got, want) || report.Proxy != lossAsRead(p, term) {
			t.Errorf("%d workers: other bytes, or another report", workers)
		}
	}
}

func TestFrequentWantsTwoPrecisions(t *testing.T) {
	c, _ := codec.Parse("int4-g64")
	if _, _, err := (Frequent{Codec: c}).Solve(zipf(500, 64)); err == nil || !strings.Contains(err.Error(), "rows0.1") {
		t.Errorf("a codec of one precision: %v", err)
	}
}

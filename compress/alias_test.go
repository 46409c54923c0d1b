package compress

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"pith/checkpoint"
	"pith/tensor"
)

// sharing is the view of a checkpoint whose layers use the matrices of others.
func sharing(t testing.TB, c *checkpoint.Checkpoint, matrices ...int) *checkpoint.Checkpoint {
	t.Helper()
	v, err := c.View(checkpoint.Edit{Matrices: matrices})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

const partlyPacked = `
rules:
  - {match: ["*.v_proj.*", "*.c_fc.*"], keep: true}
  - {match: [attn_q, "*.c_proj.*"], codec: bf16}
  - {match: "*", codec: int4-g32}
`

// An artifact whose layers share matrices stores them once, runs as the same model written out, and stays shared when it is compressed again.
func TestSharedLayersAreStoredOnceAndRunAsIfWrittenOut(t *testing.T) {
	t.Parallel()
	for _, shape := range []string{"tiny"} {
		t.Run(shape, func(t *testing.T) {
			src := sharing(t, open(t, source(t, shape)), 1, 1)
			p := resolve(t, src, partlyPacked)
			out := filepath.Join(t.TempDir(), "out")
			res, err := Run(t.Context(), src, p, out, Options{Workers: 2})
			if err != nil {
				t.Fatal(err)
			}
			v, err := Verify(out)
			if err != nil {
				t.Fatal(err)
			}
			ours := open(t, out)
			if ours.Bytes() != res.Bytes || v.TensorBytes != res.Bytes || p.Totals.Bytes != res.Bytes {
				t.Errorf("%d bytes planned, %d written, %d verified, %d opened", p.Totals.Bytes, res.Bytes, v.TensorBytes, ours.Bytes())
			}
			aliases := 0
			for _, l := range p.Lines() {
				info, err := ours.Info(l.Weight)
				if err != nil || info.Of != l.Of || info.Bytes != l.Bytes {
					t.Errorf("%s: %d bytes, alias of %q (%v); planned %d, %q", l.Weight, info.Bytes, info.Of, err, l.Bytes, l.Of)
				}
				if l.Alias() {
					aliases++
				}
			}
			if aliases < 6 {
				t.Errorf("%d aliases", aliases)
			}
			want := logitsOf(t, ours)
			for _, format := range []string{"hf", "gguf"} {
				dir := filepath.Join(t.TempDir(), format)
				path, _, err := Convert(ours, dir, ConvertOptions{Format: format, DType: tensor.F32})
				if err != nil {
					t.Fatal(err)
				}
				if format == "hf" {
					path = dir
				}
				theirs := open(t, path)
				for _, name := range ours.Names() {
					if got, err := theirs.Info(name); err == nil && (got.Of != "" || got.SharedBytes > 0) {
						t.Errorf("%s: shared in %s", name, format)
					}
					if a, b := decodedWeight(t, ours, name), decodedWeight(t, theirs, name); !slices.Equal(a.Data, b.Data) {
						t.Errorf("%s: differs in %s", name, format)
					}
				}
				if got := logitsOf(t, theirs); distance(got, want) > 1e-2 {
					t.Errorf("%s: logits differ by %g", format, distance(got, want))
				}
			}
			again := resolve(t, ours, `rules: [{match: "*", codec: int3-g32}]`)
			twice := filepath.Join(t.TempDir(), "again")
			if _, err := Run(t.Context(), ours, again, twice, Options{}); err != nil {
				t.Fatal(err)
			}
			for _, l := range again.Lines() {
				if info, err := open(t, twice).Info(l.Weight); err != nil || info.Of != l.Of || (info.Of == "") != (l.Of == "") {
					t.Errorf("%s: compressed again it is of %q (%v), planned %q", l.Weight, info.Of, err, l.Of)
				}
			}
		})
	}
}

func distance(a, b tensor.Mat) float64 {
	worst := 0.0
	for i, v := range a.Data {
		worst = max(worst, float64(v-b.Data[i]), float64(b.Data[i]-v))
	}
	return worst
}

func TestLayersAloneAreTheModel(t *testing.T) {
	t.Parallel()
	src := open(t, source(t, "tiny"))
	out := filepath.Join(t.TempDir(), "out")
	if _, err := Run(t.Context(), sharing(t, src, 0, 1), resolve(t, sharing(t, src, 0, 1), `rules: [{match: "*", keep: true}]`), out, Options{}); err != nil {
		t.Fatal(err)
	}
	if a, b := logitsOf(t, src), logitsOf(t, open(t, out)); !slices.Equal(a.Data, b.Data) {
		t.Error("groups of one layer change the model")
	}
}

func TestResumedSharedRunsEndByteIdentical(t *testing.T) {
	t.Parallel()
	src := sharing(t, open(t, source(t, "tiny")), 0, 0)
	p := resolve(t, src, partlyPacked)
	want := filepath.Join(t.TempDir(), "want")
	if _, err := Run(t.Context(), src, p, want, Options{}); err != nil {
		t.Fatal(err)
	}
	for stop := range len(p.Blocks) - 1 {
		out := filepath.Join(t.TempDir(), "out")
		ctx, cancel := context.WithCancel(t.Context())
		done := 0
		_, err := Run(ctx, src, p, out, Options{Workers: 2, Events: func(e Event) {
			if e.Kind == BlockDone {
				if done++; done > stop {
					cancel()
				}
			}
		}})
		cancel()
		if err == nil {
			t.Logf("stopped after block %d, but finished", stop)
		}
		if _, err := Run(t.Context(), src, p, out, Options{Workers: 1}); err != nil {
			t.Fatal(err)
		}
		sameFiles(t, "resumed", out, want)
	}
}

package compress

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pith/codec"
	"pith/observe"
	"pith/plan"
	"pith/tensor"
)

const products = `
rules:
  - {match: [embedding, head], codec: int8-g32}
  - {match: ffn, codec: int3-g32+lr4-int8-g32, method: ldlq+svd-llm}
  - {match: attn_q, codec: lr0.6-int4-g32, method: svd-llm-u}
  - {match: attn_k, codec: lr0.6-f16, method: asvd}
  - {match: "*", codec: lr8-f16, method: svd-llm}
`

// factored compresses src by products with statistics of words.
func factored(t testing.TB, ctx context.Context, src, out string, o Options) (*plan.Plan, Result, error) {
	t.Helper()
	c := open(t, src)
	ob, err := observe.New(ctx, c, []observe.Text{words}, observe.Options{Context: 64, Workers: o.Workers, Drift: true})
	if err != nil {
		return nil, Result{}, err
	}
	defer ob.Close()
	p := resolve(t, c, products)
	p.Calibration = &plan.Calibration{SHA256: "of words", Context: 64, Sequential: true}
	o.Statistics = Observe(ob, c, true)
	r, err := Run(ctx, c, p, out, o)
	return p, r, err
}

// Products, and codes with low-rank corrections, fitted weight after weight to what the compressed ones before give, are the same bytes for any number
// of workers and when a run was interrupted; the files are as large as planned but for their headers (H12); other formats hold the decoded sums.
func TestProductsAreWeightsLikeOthers(t *testing.T) {
	src := source(t, "tiny")
	want := filepath.Join(t.TempDir(), "want")
	p, r, err := factored(t, t.Context(), src, want, Options{Workers: 1})
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, _, err = factored(t, ctx, src, other, Options{Workers: 3, Events: func(e Event) {
		if e.Kind == BlockDone && e.Block == "layers.0" {
			cancel()
		}
	}})
	if !errors.Is(err, ErrInterrupted) {
		t.Fatalf("stopped run: %v", err)
	}
	if _, _, err := factored(t, t.Context(), src, other, Options{Workers: 2}); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, "resumed", other, want)

	v, err := Verify(want)
	if err != nil || v.TensorBytes != p.Totals.Bytes || r.Bytes != p.Totals.Bytes {
		t.Errorf("%+v %v, planned %d bytes", v, err, p.Totals.Bytes)
	}
	onDisk(t, want, r)
	a := open(t, want)
	kinds := map[string]bool{}
	for _, l := range p.Lines() {
		w, err := a.Load(l.Weight)
		if err != nil {
			t.Fatal(err)
		}
		for _, term := range w.Terms {
			if _, ok := term.(interface{ Factors() (u, v codec.Term) }); ok {
				kinds[term.Codec()] = true
			}
		}
	}
	if len(kinds) != 4 {
		t.Errorf("products %v", kinds)
	}
	got := logitsOf(t, a)
	for _, format := range []string{"hf", "gguf"} {
		path, _, err := Convert(a, filepath.Join(t.TempDir(), format), ConvertOptions{Format: format, DType: tensor.F32})
		if err != nil {
			t.Fatal(err)
		}
		if format == "hf" {
			path = filepath.Dir(path)
		}
		theirs := open(t, path)
		for _, l := range p.Lines() {
			if e := relativeError(t, a, theirs, l); e != 0 {
				t.Errorf("%s: %s differs by %g", format, l.Weight, e)
			}
		}
		var far, size float64
		for i, v := range logitsOf(t, theirs).Data {
			far, size = max(far, float64(max(v-got.Data[i], got.Data[i]-v))), max(size, float64(max(v, -v)))
		}
		if far > 0.05*size { // products of integers round activations, here twice, to 8 bits
			t.Errorf("%s: logits differ by %g of %g", format, far, size)
		}
	}
}

// onDisk wants the shards to be as large as reported, and no larger than tensors and headers.
func onDisk(t *testing.T, dir string, r Result) {
	t.Helper()
	var files, headers int64
	shards, err := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range shards {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		header := int64(8)
		for i, b := range data[:8] {
			header += int64(b) << (8 * i)
		}
		files, headers = files+int64(len(data)), headers+header
	}
	if files != r.ShardBytes || files != r.Bytes+headers {
		t.Errorf("%d bytes on disk, %d of them headers; reported %d with headers, %d without", files, headers, r.ShardBytes, r.Bytes)
	}
}

func TestMatricesThatFactorsWouldEnlargeStayWhole(t *testing.T) {
	src := open(t, source(t, "tiny"))
	p := resolve(t, src, `rules: [{match: linear, codec: int4-g32+lr200-int8-g32, method: ldlq+svd-llm}, {match: "*", codec: lr999-q8_0}]`)
	for _, l := range p.Lines() {
		switch {
		case l.Keeps():
		case l.Role == "embedding" || l.Role == "head":
			if l.Codec != "q8_0" && l.Codec != "f16" || l.Method != "nearest" || !strings.Contains(l.Note, "use ") {
				t.Errorf("%s: %s by %s, %q", l.Weight, l.Codec, l.Method, l.Note)
			}
		case l.Codec != "int4-g32" || l.Method != "ldlq" || !strings.Contains(l.Note, "instead of int4-g32+lr200"):
			t.Errorf("%s: %s by %s, %q", l.Weight, l.Codec, l.Method, l.Note)
		}
	}
	r, err := plan.ParseRecipe("r.yaml", []byte(`rules: [{match: linear, codec: lr200-f16, no_fallback: true}]`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := plan.Resolve(src, r); err == nil || !strings.Contains(err.Error(), "model.layers.0") || !strings.Contains(err.Error(), "use ") {
		t.Error(err)
	}
}

package compress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"pith/checkpoint"
	"pith/formats"
	"pith/internal/synth/llama"
	"pith/plan"
	"pith/tensor"
)

const mixed = `
rules:
  - {match: embedding, codec: q8_0}
  - {match: head, keep: true}
  - {match: "*.v_proj.weight", codec: bf16}
  - {match: attn_k, codec: int3-g32-asym, search: true}
  - {match: "*", codec: int4-g64}
`

// made holds what several tests start from; each gets a copy. Making it syncs files, which takes long on a busy disk.
var made struct {
	sync.Mutex
	dirs map[string]string
}

// copyOf returns a copy, for this test alone, of the directory that build makes once for all tests.
func copyOf(t testing.TB, key string, build func(dir string)) string {
	t.Helper()
	made.Lock()
	defer made.Unlock()
	if made.dirs == nil {
		made.dirs = map[string]string{}
	}
	if made.dirs[key] == "" {
		parent, err := os.MkdirTemp("", "pith-test")
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(parent, "it")
		build(dir)
		made.dirs[key] = dir
	}
	dir := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(dir, os.DirFS(made.dirs[key])); err != nil {
		t.Fatal(err)
	}
	return dir
}

// source returns the directory of a synthetic checkpoint.
func source(t testing.TB, shape string) string {
	t.Helper()
	return copyOf(t, shape, func(dir string) {
		if err := llama.Write(dir, llama.Shapes()[shape], llama.Options{Seed: 1}); err != nil {
			t.Fatal(err)
		}
	})
}

// artifact returns what the mixed recipe makes of source(t, shape).
func artifact(t testing.TB, shape string) string {
	t.Helper()
	src := source(t, shape)
	return copyOf(t, shape+" compressed", func(dir string) {
		c := open(t, src)
		if _, err := Run(t.Context(), c, resolve(t, c, mixed), dir, Options{}); err != nil {
			t.Fatal(err)
		}
	})
}

func open(t testing.TB, dir string) *checkpoint.Checkpoint {
	t.Helper()
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func resolve(t testing.TB, c *checkpoint.Checkpoint, yaml string) *plan.Plan {
	t.Helper()
	r, err := plan.ParseRecipe("recipe.yaml", []byte(yaml))
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Resolve(c, r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// compressed runs the mixed recipe on src into a new directory.
func compressed(t testing.TB, src string, o Options) string {
	t.Helper()
	c := open(t, src)
	out := filepath.Join(t.TempDir(), "out")
	if _, err := Run(t.Context(), c, resolve(t, c, mixed), out, o); err != nil {
		t.Fatal(err)
	}
	return out
}

// contents returns every file of a directory.
func contents(t testing.TB, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(data)
	}
	return all
}

func sameFiles(t testing.TB, what, got, want string) {
	t.Helper()
	a, b := contents(t, got), contents(t, want)
	for name := range b {
		if a[name] != b[name] {
			t.Errorf("%s: %s differs", what, name)
		}
	}
	for name := range a {
		if _, ok := b[name]; !ok {
			t.Errorf("%s: %s is there too", what, name)
		}
	}
}

func TestTheArtifactHoldsWhatThePlanSays(t *testing.T) {
	t.Parallel()
	src := source(t, "mini")
	c := open(t, src)
	p := resolve(t, c, mixed)
	out := filepath.Join(t.TempDir(), "out")
	res, err := Run(t.Context(), c, p, out, Options{Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	if res.Bytes != p.Totals.Bytes || res.Blocks != len(p.Blocks) || res.Skipped != 0 {
		t.Errorf("result %+v, plan %+v", res, p.Totals)
	}
	a := open(t, out)
	if a.Kind != checkpoint.Artifact || a.Bytes() != p.Totals.Bytes || len(a.Names()) != len(c.Names()) {
		t.Errorf("kind %s, %d bytes, %d weights", a.Kind, a.Bytes(), len(a.Names()))
	}
	for _, l := range p.Lines() {
		info, err := a.Info(l.Weight)
		if err != nil || info.Codec != l.Codec || info.Bytes != l.Bytes {
			t.Errorf("%s: %+v %v, plan %+v", l.Weight, info, err, l)
		}
		if e := relativeError(t, c, a, l); e > 0.2 || l.Keeps() && e != 0 {
			t.Errorf("%s in %s: relative error %g", l.Weight, l.Codec, e)
		}
	}
	if _, err := a.Config(); err != nil {
		t.Error(err)
	}
	v, err := Verify(out)
	if err != nil || v.Weights != p.Totals.Weights || v.TensorBytes != p.Totals.Bytes || v.Model != "llama" {
		t.Errorf("%+v %v", v, err)
	}
}

// relativeError reads both weights whole.
func relativeError(t *testing.T, a, b *checkpoint.Checkpoint, l plan.Line) float64 {
	t.Helper()
	x, y := tensor.NewMat(l.Rows, l.Cols), tensor.NewMat(l.Rows, l.Cols)
	if err := errors.Join(a.ReadRows(l.Weight, x, 0), b.ReadRows(l.Weight, y, 0)); err != nil {
		t.Fatal(err)
	}
	var e, n float64
	for i, v := range x.Data {
		d := float64(v) - float64(y.Data[i])
		e, n = e+d*d, n+float64(v)*float64(v)
	}
	return e / n
}

func TestManifestErrorsAreThoseOfTheStoredWeights(t *testing.T) {
	t.Parallel()
	src := source(t, "tiny")
	out := artifact(t, "tiny")
	m, err := checkpoint.ReadManifest(out)
	if err != nil {
		t.Fatal(err)
	}
	c, a := open(t, src), open(t, out)
	p := resolve(t, c, mixed)
	for i, l := range p.Lines() {
		w := m.Weights[i]
		if want := relativeError(t, c, a, l); w.Name != l.Weight || math.Abs(w.RelError-want) > 1e-4*want {
			t.Errorf("%s: manifest says %g, it is %g", l.Weight, w.RelError, want)
		}
	}
}

func TestBytesDependOnNeitherWorkersNorMemoryNorSIMD(t *testing.T) {
	t.Parallel()
	src := source(t, "mini")
	want := compressed(t, src, Options{Workers: 1})
	for _, o := range []Options{{Workers: 2}, {Workers: 7, MemoryBytes: 68 << 20}} {
		sameFiles(t, "other options", compressed(t, src, o), want)
	}
	if os.Getenv("PITH_NOSIMD") == "" {
		out := filepath.Join(t.TempDir(), "out")
		rerun(t, src, out, "PITH_NOSIMD=1")
		sameFiles(t, "PITH_NOSIMD=1", out, want)
	}
}

func TestDirectoriesOfOthersAndTheSourceAreRefused(t *testing.T) {
	t.Parallel()
	src := source(t, "tiny")
	c := open(t, src)
	p := resolve(t, c, mixed)
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "thesis.tex"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for out, want := range map[string]string{foreign: "thesis.tex", src: "the checkpoint itself", file: "is a file", "": "-o DIR", filepath.Join(file, "x"): file} {
		for _, overwrite := range []bool{false, true} {
			if _, err := Run(t.Context(), c, p, out, Options{Overwrite: overwrite}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%q: error %v, want %q", out, err, want)
			}
		}
	}
	whole := artifact(t, "tiny")
	a := open(t, whole)
	q := resolve(t, a, `rules: [{match: "*", keep: true}]`)
	if _, err := Run(t.Context(), a, q, whole, Options{Overwrite: true}); err == nil || !strings.Contains(err.Error(), "the checkpoint itself") {
		t.Errorf("an artifact may overwrite itself: %v", err)
	}
}

func TestASecondRunInTheSameDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	src := source(t, "tiny")
	c := open(t, src)
	p := resolve(t, c, mixed)
	out := filepath.Join(t.TempDir(), "out")
	tried := false
	_, err := Run(t.Context(), c, p, out, Options{Events: func(e Event) {
		if e.Kind == BlockDone && !tried {
			tried = true
			if _, err := Run(t.Context(), c, p, out, Options{}); err == nil || !strings.Contains(err.Error(), "another pith compress") {
				t.Errorf("error %v", err)
			}
		}
	}})
	if err != nil || !tried {
		t.Fatal(err, tried)
	}
}

func TestReadOnlyDirectoryIsAnErrorThatSaysSo(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root may write anywhere")
	}
	src := source(t, "tiny")
	c := open(t, src)
	parent := t.TempDir()
	if err := os.Chmod(parent, 0o555); err != nil {
		t.Fatal(err)
	}
	_, err := Run(t.Context(), c, resolve(t, c, mixed), filepath.Join(parent, "out"), Options{})
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "choose a directory you may write to") {
		t.Errorf("error %v", err)
	}
}

func TestMemoryThatCannotDoIsRefusedBeforeAnyWork(t *testing.T) {
	t.Parallel()
	c := open(t, source(t, "tiny"))
	out := filepath.Join(t.TempDir(), "out")
	_, err := Run(t.Context(), c, resolve(t, c, mixed), out, Options{MemoryBytes: 10 << 20})
	if err == nil || !strings.Contains(err.Error(), "allow ") {
		t.Errorf("error %v", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("the output directory was made")
	}
}

func TestArtifactsCanBeCompressedAgain(t *testing.T) {
	t.Parallel()
	first := artifact(t, "tiny")
	c := open(t, first)
	out := filepath.Join(t.TempDir(), "again")
	p := resolve(t, c, `rules: [{match: [embedding], codec: q4_0}, {match: "*", keep: true}]`)
	if _, err := Run(t.Context(), c, p, out, Options{}); err != nil {
		t.Fatal(err)
	}
	a := open(t, out)
	for _, l := range p.Lines() {
		want, err := c.Load(l.Weight)
		if err != nil {
			t.Fatal(err)
		}
		got, err := a.Load(l.Weight)
		if err != nil {
			t.Fatal(err)
		}
		same := got.Terms[0].Codec() == want.Terms[0].Codec() && bytes.Equal(got.Terms[0].Parts()[0].Data, want.Terms[0].Parts()[0].Data)
		if same != l.Keeps() {
			t.Errorf("%s: kept %v, same %v", l.Weight, l.Keeps(), same)
		}
	}
	if _, err := Verify(out); err != nil {
		t.Error(err)
	}
}

func TestConv1DWeightsAreCompressedAsTheirTransposes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	config := `{"model_type":"gpt2","n_embd":64,"n_layer":1,"n_head":2,"vocab_size":96,"n_positions":32,"n_ctx":32}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o666); err != nil {
		t.Fatal(err)
	}
	shapes := map[string][]int{"wte.weight": {96, 64}, "wpe.weight": {32, 64}, "ln_f.weight": {64}, "ln_f.bias": {64}}
	for name, shape := range map[string][]int{"ln_1.weight": {64}, "ln_1.bias": {64}, "ln_2.weight": {64}, "ln_2.bias": {64},
		"attn.c_attn.weight": {64, 192}, "attn.c_attn.bias": {192}, "attn.c_proj.weight": {64, 64}, "attn.c_proj.bias": {64},
		"mlp.c_fc.weight": {64, 256}, "mlp.c_fc.bias": {256}, "mlp.c_proj.weight": {256, 64}, "mlp.c_proj.bias": {64}} {
		shapes["h.0."+name] = shape
	}
	var tensors []formats.LazyTensor
	for name, shape := range shapes {
		data := make([]byte, 4*tensor.Elements(shape))
		for i := range len(data) / 4 {
			binary.LittleEndian.PutUint32(data[4*i:], math.Float32bits(float32((i*7919+len(name))%1009)/1009-0.5))
		}
		tensors = append(tensors, formats.LazyTensor{Info: formats.Info{Name: name, DType: tensor.F32, Shape: shape}, Data: func() ([]byte, error) { return data, nil }})
	}
	if err := formats.WriteSafetensors(filepath.Join(dir, "model.safetensors"), tensors, nil); err != nil {
		t.Fatal(err)
	}
	c := open(t, dir)
	p := resolve(t, c, `rules: [{match: "*", codec: int8-g64}]`)
	out := filepath.Join(t.TempDir(), "out")
	if _, err := Run(t.Context(), c, p, out, Options{Workers: 2}); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(out); err != nil {
		t.Error(err)
	}
	w, err := open(t, out).Load("h.0.mlp.c_fc.weight")
	if err != nil {
		t.Fatal(err)
	}
	if !w.Transposed || w.Rows != 256 || w.Cols != 64 {
		t.Fatalf("transposed %v, (%d, %d)", w.Transposed, w.Rows, w.Cols)
	}
	got, want := tensor.NewMat(256, 64), tensor.NewMat(64, 256)
	w.ReadRows(got, 0)
	if err := c.ReadRows("h.0.mlp.c_fc.weight", want, 0); err != nil {
		t.Fatal(err)
	}
	for r := range 256 {
		for i := range 64 {
			if d := math.Abs(float64(got.Row(r)[i] - want.Row(i)[r])); d > 0.01 {
				t.Fatalf("(%d, %d) is off by %g", r, i, d)
			}
		}
	}
}

func TestEventsGrowToTheWholeAndAreNeverConcurrent(t *testing.T) {
	t.Parallel()
	c := open(t, source(t, "mini"))
	p := resolve(t, c, mixed)
	var kinds []EventKind
	last, inside := 0.0, false
	_, err := Run(t.Context(), c, p, filepath.Join(t.TempDir(), "out"), Options{Workers: 3, Events: func(e Event) {
		if inside {
			t.Error("two events at a time")
		}
		inside = true
		if e.Fraction() < last || e.Blocks != len(p.Blocks) || e.TotalWeights != p.Totals.Weights {
			t.Errorf("%+v after fraction %g", e, last)
		}
		last = e.Fraction()
		if e.Kind != Progress {
			kinds = append(kinds, e.Kind)
		}
		inside = false
	}})
	if err != nil {
		t.Fatal(err)
	}
	if last != 1 || len(kinds) != len(p.Blocks)+2 || kinds[0] != Started || kinds[len(kinds)-1] != Finished {
		t.Errorf("fraction %g, events %v", last, kinds)
	}
}

func TestVerifyNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		do   func(dir string) error
		want string
	}{
		"missing shard": {func(d string) error { return os.Remove(filepath.Join(d, "model-00001-of-00004.safetensors")) }, "is missing"},
		"stray shard":   {func(d string) error { return os.WriteFile(filepath.Join(d, "extra.safetensors"), nil, 0o666) }, "stray shard"},
		"other config":  {func(d string) error { return os.WriteFile(filepath.Join(d, "config.json"), []byte("{}"), 0o666) }, "config.json"},
		"other plan": {func(d string) error {
			return replaceIn(filepath.Join(d, "pith.json"), `"role": "embedding"`, `"role": "other"`)
		}, "plan has changed"},
		"shard unknown": {func(d string) error {
			return replaceIn(filepath.Join(d, "pith.json"), `"shard": "model-00001`, `"shard": "../x-00001`)
		}, "not among the files"},
		"no manifest": {func(d string) error { return os.Remove(filepath.Join(d, "pith.json")) }, "not a Pith artifact"},
	} {
		dir := artifact(t, "tiny")
		if err := c.do(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(dir); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", name, err, c.want)
		}
	}
}

// replaceIn replaces the first from in a file, which must be there.
func replaceIn(path, from, to string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if !bytes.Contains(data, []byte(from)) {
		return fmt.Errorf("%s: no %s", path, from)
	}
	return os.WriteFile(path, bytes.Replace(data, []byte(from), []byte(to), 1), 0o666)
}

func TestEstimateIsAboveWhatIsUsed(t *testing.T) {
	c := open(t, source(t, "mini"))
	p := resolve(t, c, mixed)
	stop, peak := make(chan bool), make(chan int64)
	go watchMemory(stop, peak)
	_, err := Run(t.Context(), c, p, filepath.Join(t.TempDir(), "out"), Options{Workers: 2})
	close(stop)
	if used := <-peak; err != nil || used > p.Memory(2) {
		t.Errorf("%d bytes were used, %d estimated (%v)", used, p.Memory(2), err)
	}
}

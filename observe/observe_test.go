package observe

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pith/calib"
	"pith/checkpoint"
	"pith/codec"
	"pith/internal/synth/llama"
	"pith/model"
	"pith/tensor"
)

// tiny opens a synthetic model of three layers.
func tiny(t testing.TB) *checkpoint.Checkpoint {
	t.Helper()
	dir := t.TempDir()
	shape := llama.Shape{Vocab: 512, Hidden: 48, FFN: 80, Layers: 3, Heads: 4, KVHeads: 2, Context: 128}
	if err := llama.Write(dir, shape, llama.Options{DType: tensor.F32, Seed: 3}); err != nil {
		t.Fatal(err)
	}
	c, err := checkpoint.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// text returns n bytes of words.
func text(name string, n int) Text {
	rng := rand.New(rand.NewPCG(uint64(n), 9))
	var b strings.Builder
	for b.Len() < n {
		for range 1 + rng.IntN(7) {
			b.WriteByte('a' + byte(rng.IntN(26)))
		}
		b.WriteByte(' ')
	}
	return Text{name, []byte(b.String()[:n])}
}

func observer(t testing.TB, c *checkpoint.Checkpoint, o Options, texts ...Text) *Observer {
	t.Helper()
	if texts == nil {
		texts = []Text{text("a.txt", 3000)}
	}
	b, err := New(context.Background(), c, texts, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

func gather(t testing.TB, b *Observer) *calib.Set {
	t.Helper()
	set, err := b.Gather(context.Background(), calib.Model{Type: "llama", SHA256: "x"})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// sums returns all statistics of a set.
func sums(t testing.TB, s *calib.Set) map[string][]float64 {
	t.Helper()
	all := map[string][]float64{}
	for _, site := range s.Sites() {
		st, err := s.Stats(site.Name, calib.Gram)
		if err != nil {
			t.Fatal(err)
		}
		v := slices.Concat(st.SqSum, st.Gram, []float64{float64(st.Tokens), float64(st.NonFinite)})
		for _, n := range st.Counts {
			v = append(v, float64(n))
		}
		all[site.Name] = v
	}
	return all
}

func TestSumsAreThoseOfTheWholeModelsActivations(t *testing.T) {
	c := tiny(t)
	b := observer(t, c, Options{Context: 64, Workers: 2})
	windows := b.windows
	set := gather(t, b)
	// The same by hand: all windows at once through the layers.
	want := map[string]*calib.Stats{}
	for _, s := range b.Sites() {
		want[s.Name] = calib.NewGram(s.Features)
	}
	watch := func(site string, x tensor.Mat) { want[site].Observe(x) }
	for _, w := range windows {
		e, err := b.layers.Embedding()
		if err != nil {
			t.Fatal(err)
		}
		x := tensor.NewMat(len(w), b.config.Hidden)
		e.Forward(x, w)
		for i := range 3 {
			l, err := b.layers.Layer(i)
			if err != nil {
				t.Fatal(err)
			}
			l.Forward(x, []int{len(w)}, watch)
		}
		n, err := b.layers.Norm()
		if err != nil {
			t.Fatal(err)
		}
		n.Forward(x, x)
		watch(model.HeadSite, x)
	}
	for _, s := range b.Sites() {
		st, err := set.Stats(s.Name, calib.Gram)
		if err != nil {
			t.Fatal(err)
		}
		if s.Name == model.EmbeddingSite {
			continue
		}
		if !slices.Equal(st.Gram, want[s.Name].Gram) || st.Tokens != b.corpus.Tokens {
			t.Errorf("%s: other sums", s.Name)
		}
	}
	counts, _ := set.Stats(model.EmbeddingSite, calib.Counts)
	var n int64
	for _, k := range counts.Counts {
		n += k
	}
	bos, _ := mustTokenizer(t, c)
	if n != b.corpus.Tokens || b.corpus.BOS && counts.Counts[bos] < int64(len(windows)) {
		t.Errorf("%d rows of the embedding were read by %d tokens", n, b.corpus.Tokens)
	}
}

func mustTokenizer(t *testing.T, c *checkpoint.Checkpoint) (int32, bool) {
	tok, err := c.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	return tok.BOS()
}

func TestSumsDependNeitherOnWorkersNorOnWhereHiddenStatesLie(t *testing.T) {
	c := tiny(t)
	var want map[string][]float64
	for _, o := range []Options{{Workers: 1}, {Workers: 2}, {Workers: 5}, {Workers: 2, HiddenBytes: 1, TempDir: t.TempDir()}} {
		o.Context = 48
		b := observer(t, c, o)
		if b.Plan().HiddenOnDisk != (o.HiddenBytes == 1) {
			t.Error("hidden states lie elsewhere")
		}
		got := sums(t, gather(t, b))
		if o.TempDir != "" {
			if left, _ := os.ReadDir(o.TempDir); len(left) > 0 {
				t.Errorf("%s has a name, so it outlives a kill", left[0].Name())
			}
		}
		if want == nil {
			want = got
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("%+v: other sums", o)
		}
	}
}

func TestMomentsAloneAreTheGramMatricesDiagonals(t *testing.T) {
	c := tiny(t)
	full := gather(t, observer(t, c, Options{Context: 64}))
	moments := gather(t, observer(t, c, Options{Context: 64, Moments: true}))
	for _, s := range moments.Sites() {
		a, _ := moments.Stats(s.Name, calib.Moments)
		b, _ := full.Stats(s.Name, calib.Moments)
		if a.Gram != nil || !slices.Equal(a.SqSum, b.SqSum) {
			t.Errorf("%s: other moments", s.Name)
		}
	}
}

// doubled is a checkpoint's down projections times two.
type doubled struct {
	model.Weights
	names []string
}

func (d doubled) Names() []string { return d.names }
func (d doubled) Load(name string) (*codec.Weight, error) {
	w, err := d.Weights.Load(name)
	if err != nil {
		return nil, err
	}
	m := tensor.NewMat(w.Rows, w.Cols)
	w.ReadRows(m, 0)
	for i := range m.Data {
		m.Data[i] *= 2
	}
	data := make([]byte, 4*len(m.Data))
	tensor.Encode(data, tensor.F32, m.Data)
	term, err := codec.Dense(name, tensor.F32, w.Rows, w.Cols, data)
	return &codec.Weight{Name: name, Rows: w.Rows, Cols: w.Cols, Terms: []codec.Term{term}}, err
}

func TestSequentialModeShowsLaterLayersWhatReplacedWeightsGive(t *testing.T) {
	ctx := context.Background()
	c := tiny(t)
	plain, seq, spilled := observer(t, c, Options{Context: 64}), observer(t, c, Options{Context: 64}), observer(t, c, Options{Context: 64, HiddenBytes: 1})
	name := plain.Sites()[4].Weights[0]
	over := doubled{c, []string{name}}
	first, err := plain.Step(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []*Observer{seq, spilled} {
		for range 2 { // looking changes nothing
			got, err := b.Layer(ctx, 0)
			if err != nil {
				t.Fatal(err)
			}
			for site, s := range first {
				if !slices.Equal(s.Gram, got[site].Gram) {
					t.Errorf("%s: Layer and Step differ", site)
				}
			}
		}
		part, err := b.Watch(ctx, 0, over, "layers.0.down")
		if err != nil {
			t.Fatal(err)
		}
		if len(part) != 1 || !slices.Equal(part["layers.0.down"].Gram, first["layers.0.down"].Gram) {
			t.Error("a weight's own input must not depend on the weight")
		}
		if err := b.Advance(ctx, 0, over); err != nil {
			t.Fatal(err)
		}
	}
	a, err := plain.Layer(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	s, err := seq.Layer(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	d, err := spilled.Layer(ctx, 1)
	if err != nil {
		t.Fatal(err)
	}
	for site := range a {
		if slices.Equal(a[site].Gram, s[site].Gram) {
			t.Errorf("%s: the next layer does not see the replaced weights", site)
		}
		if !slices.Equal(d[site].Gram, s[site].Gram) {
			t.Errorf("%s: states in a file differ from those in memory", site)
		}
	}
}

func TestTokensThatOverflowAreLeftOutAndCounted(t *testing.T) {
	c := tiny(t)
	b := observer(t, c, Options{Context: 64})
	x, _ := b.hidden.batch(0, 1)
	x.Row(0)[5] = float32(math.Inf(1)) // the first token of the first window: all of that window attend to it
	set := gather(t, b)
	n, site := set.NonFinite()
	if n != 64 {
		t.Errorf("%d tokens were left out, most at %s; want a window's 64", n, site)
	}
	for _, s := range set.Sites() {
		if s.Tokens+s.NonFinite != b.corpus.Tokens {
			t.Errorf("%s: %d tokens and %d left out are not %d", s.Name, s.Tokens, s.NonFinite, b.corpus.Tokens)
		}
		st, _ := set.Stats(s.Name, calib.Gram)
		for _, v := range st.Gram {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				t.Fatalf("%s: a sum is %v", s.Name, v)
			}
		}
	}
}

func TestWindowsAreDividedInProportion(t *testing.T) {
	c := tiny(t)
	long, short, none := text("long", 4000), text("short", 1500), text("none", 10)
	all := observer(t, c, Options{Context: 32}, long, none, short)
	if len(all.windows) != all.corpus.Files[0].Windows+all.corpus.Files[2].Windows || all.corpus.Files[1].Windows != 0 {
		t.Errorf("windows %+v", all.corpus.Files)
	}
	for limit := 1; limit < len(all.windows)+2; limit++ {
		b := observer(t, c, Options{Context: 32, Windows: limit}, long, none, short)
		sum := 0
		for i, f := range b.corpus.Files {
			sum += f.Windows
			share := float64(all.corpus.Files[i].Windows) * float64(min(limit, len(all.windows))) / float64(len(all.windows))
			if math.Abs(float64(f.Windows)-share) >= 1 {
				t.Errorf("limit %d: %d windows of %s, its share is %.1f", limit, f.Windows, f.Name, share)
			}
		}
		if sum != min(limit, len(all.windows)) || len(b.windows) != sum {
			t.Errorf("limit %d: %d windows", limit, sum)
		}
	}
	one := observer(t, c, Options{Context: 32, Windows: 3}, long)
	if !reflect.DeepEqual(one.windows, all.windows[:3]) {
		t.Error("the windows of a single text are not its first ones")
	}
}

func TestRunResumesToTheSameBytes(t *testing.T) {
	c := tiny(t)
	dir := t.TempDir()
	want := filepath.Join(dir, "want")
	if _, err := observer(t, c, Options{Context: 64}).Run(context.Background(), want); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(want)
	if err != nil {
		t.Fatal(err)
	}
	for layers := range 4 {
		path := filepath.Join(dir, "got")
		ctx, cancel := context.WithCancel(context.Background())
		o := Options{Context: 64, Progress: func(p Progress) {
			if p.Layer == layers {
				cancel()
			}
		}}
		if _, err := observer(t, c, o).Run(ctx, path); !errors.Is(err, ErrInterrupted) {
			t.Fatalf("interrupted in layer %d: %v", layers, err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Fatal("an interrupted run left a file")
		}
		resumed, err := observer(t, c, Options{Context: 64, Workers: 1}).Run(context.Background(), path)
		if err != nil || resumed != layers {
			t.Errorf("resumed after %d layers, want %d (%v)", resumed, layers, err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, whole) {
			t.Errorf("interrupted in layer %d: other bytes", layers)
		}
		if _, err := os.Stat(path + ".work"); err == nil {
			t.Error("the work directory is still there")
		}
		os.Remove(path)
	}
}

func TestWorkOfAnotherRunIsNotResumed(t *testing.T) {
	c := tiny(t)
	path := filepath.Join(t.TempDir(), "stats")
	ctx, cancel := context.WithCancel(context.Background())
	o := Options{Context: 64, Progress: func(p Progress) {
		if p.Layer == 2 {
			cancel()
		}
	}}
	if _, err := observer(t, c, o).Run(ctx, path); err == nil {
		t.Fatal("not interrupted")
	}
	resumed, err := observer(t, c, Options{Context: 64}, text("other", 3000)).Run(context.Background(), path)
	if err != nil || resumed != 0 {
		t.Errorf("resumed %d layers of another text (%v)", resumed, err)
	}
}

func TestWhatIsNotStatisticsIsNotReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "precious.txt")
	if err := os.WriteFile(path, []byte("precious"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := observer(t, tiny(t), Options{Context: 64}).Run(context.Background(), path); err == nil {
		t.Error("a text was replaced")
	}
	if data, _ := os.ReadFile(path); string(data) != "precious" {
		t.Error("the text is gone")
	}
}

func TestBadOptionsAreErrorsWithARemedy(t *testing.T) {
	c := tiny(t)
	for _, o := range []Options{{Context: 8}, {Context: 1 << 20}, {Context: 100000}} {
		b, err := New(context.Background(), c, []Text{text("a", 500)}, o)
		if err == nil {
			b.Close()
			t.Errorf("%+v: no error", o)
		}
	}
}

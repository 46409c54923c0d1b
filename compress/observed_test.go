package compress

import (
	"context"
	"errors"
	"strings"
	"testing"

	"pith/calib"
	"pith/model"
	"pith/observe"
	"pith/plan"
	"pith/tensor"
	"pith/tokenizer"
)

const feedback = `
rules:
  - {match: embedding, codec: tcq-lut7-3-had}
  - {match: linear, codec: tcq-lut7-2-had, method: ldlq}
  - {match: head, codec: int4-g64, method: ldlq}
  - {match: "*", keep: true}
`

// words is a text whose tokens are not all alike.
var words = observe.Text{Name: "words.txt", Data: []byte(strings.Repeat("one two three, five eight thirteen; twenty-one & thirty-four! ", 60))}

// calibrated compresses src with statistics of words.
func calibrated(t testing.TB, ctx context.Context, src, out string, sequential bool, o Options) error {
	t.Helper()
	c := open(t, src)
	ob, err := observe.New(ctx, c, []observe.Text{words}, observe.Options{Context: 64, Workers: o.Workers, Drift: sequential})
	if err != nil {
		return err
	}
	defer ob.Close()
	p := resolve(t, c, feedback)
	p.Calibration = &plan.Calibration{SHA256: "of words", Context: 64, Sequential: sequential}
	o.Statistics = Observe(ob, c, sequential)
	_, err = Run(ctx, c, p, out, o)
	return err
}

func TestCalibratedRunsGiveTheSameBytesForAnyWorkersAndWhenResumed(t *testing.T) {
	src := source(t, "tiny")
	for _, sequential := range []bool{false, true} {
		want := t.TempDir() + "/want"
		if err := calibrated(t, t.Context(), src, want, sequential, Options{Workers: 1}); err != nil {
			t.Fatal(err)
		}
		other := t.TempDir() + "/other"
		if err := calibrated(t, t.Context(), src, other, sequential, Options{Workers: 3}); err != nil {
			t.Fatal(err)
		}
		sameFiles(t, "calibrated", other, want)

		resumed := t.TempDir() + "/resumed"
		ctx, cancel := context.WithCancel(t.Context())
		stop := Options{Workers: 2, Events: func(e Event) {
			if e.Kind == BlockDone && e.Block == "layers.0" {
				cancel()
			}
		}}
		if err := calibrated(t, ctx, src, resumed, sequential, stop); !errors.Is(err, ErrInterrupted) {
			t.Fatalf("stopped run: %v", err)
		}
		if err := calibrated(t, t.Context(), src, resumed, sequential, Options{Workers: 2}); err != nil {
			t.Fatal(err)
		}
		sameFiles(t, "calibrated", resumed, want)
	}
}

func TestSequentialRunsSeeCompressedLayers(t *testing.T) {
	src := source(t, "tiny")
	a, b := t.TempDir()+"/a", t.TempDir()+"/b"
	for dir, sequential := range map[string]bool{a: false, b: true} {
		if err := calibrated(t, t.Context(), src, dir, sequential, Options{}); err != nil {
			t.Fatal(err)
		}
	}
	same := func(weight string) bool {
		x, y := loaded(t, a, weight), loaded(t, b, weight)
		return string(x) == string(y)
	}
	for _, weight := range []string{"model.layers.0.self_attn.q_proj.weight", "model.layers.1.self_attn.q_proj.weight", "lm_head.weight"} {
		if same(weight) {
			t.Errorf("%s was fitted to the same inputs in both modes, though what comes before it was compressed", weight)
		}
	}
	if !same("model.embed_tokens.weight") {
		t.Error("the embedding reads nothing, and differs")
	}
	if plain, seq := strays(t, src, a), strays(t, src, b); seq > 0.9*plain {
		t.Errorf("outputs stray by %g in a sequential run, by %g otherwise", seq, plain)
	}
}

// strays returns the squared distance of the logits of two models on words, relative to their squares.
func strays(t *testing.T, base, other string) float64 {
	t.Helper()
	var logits [2]tensor.Mat
	for i, dir := range []string{base, other} {
		c := open(t, dir)
		config, err := c.Config()
		if err != nil {
			t.Fatal(err)
		}
		tok, err := c.Tokenizer()
		if err != nil {
			t.Fatal(err)
		}
		m, err := model.New(config, c, 2)
		if err != nil {
			t.Fatal(err)
		}
		logits[i] = m.Logits(m.Forward([][]int32{tok.Encode(string(words.Data), tokenizer.EncodeOptions{})[:64]}))
	}
	var far, size float64
	for i, v := range logits[0].Data {
		d := float64(v - logits[1].Data[i])
		far, size = far+d*d, size+float64(v)*float64(v)
	}
	return far / size
}

// loaded returns the bytes of a weight's first part.
func loaded(t testing.TB, dir, weight string) []byte {
	t.Helper()
	w, err := open(t, dir).Load(weight)
	if err != nil {
		t.Fatal(err)
	}
	return w.Terms[0].Parts()[0].Data
}

func TestStatisticsOfAFileAndOfTheTextItselfGiveTheSameBytes(t *testing.T) {
	src := source(t, "tiny")
	c := open(t, src)
	direct := t.TempDir() + "/direct"
	if err := calibrated(t, t.Context(), src, direct, false, Options{}); err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/stats"
	ob, err := observe.New(t.Context(), c, []observe.Text{words}, observe.Options{Context: 64})
	if err != nil {
		t.Fatal(err)
	}
	defer ob.Close()
	if _, err := ob.Run(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	set, err := calib.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	p := resolve(t, c, feedback)
	p.Calibration = &plan.Calibration{SHA256: "of words", Context: 64}
	filed := t.TempDir() + "/filed"
	if _, err := Run(t.Context(), c, p, filed, Options{Statistics: FromSet(set)}); err != nil {
		t.Fatal(err)
	}
	sameFiles(t, "calibrated", filed, direct)
}

func TestWeightsWithoutStatisticsAreRoundedToNearestAndNoted(t *testing.T) {
	src := source(t, "tiny")
	c := open(t, src)
	r, err := Run(t.Context(), c, resolve(t, c, feedback), t.TempDir()+"/out", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Notes) != 2*7+1 || !strings.Contains(r.Notes[0], "nearest") {
		t.Errorf("notes %q", r.Notes)
	}
}

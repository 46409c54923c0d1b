package compress

import (
	"context"
	"errors"
	"strings"
	"testing"

	"pith/calib"
	"pith/observe"
	"pith/plan"
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
	ob, err := observe.New(ctx, c, []observe.Text{words}, observe.Options{Context: 64, Workers: o.Workers})
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
	if !same("model.layers.0.self_attn.q_proj.weight") {
		t.Error("the first layer's inputs are the same in both modes")
	}
	if same("model.layers.1.self_attn.q_proj.weight") {
		t.Error("the second layer was fitted to the same inputs in both modes")
	}
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

package pruning_test

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"pith/calib"
	"pith/checkpoint"
	"pith/internal/sharedtest"
	"pith/observe"
	"pith/pruning"
	"pith/tensor"
)

//go:embed testdata/torch-layer.json
var torchLayer []byte

//go:embed testdata/torch-digests.txt
var torchDigests string

// torchOrder is the order of masks in a digest.
var torchOrder = []string{"magnitude matrix", "magnitude 2:4", "magnitude 4:8", "wanda row", "wanda 2:4", "wanda 4:8"}

// maskBytes returns the mask of a scorer and a selector, "wanda 2:4", at one half.
func maskBytes(t *testing.T, w tensor.Mat, stats *calib.Stats, name string) []byte {
	t.Helper()
	first, second, _ := strings.Cut(name, " ")
	scorer, err := pruning.ParseScorer(first)
	if err != nil {
		t.Fatal(err)
	}
	selector, err := pruning.ParseSelector(second)
	if err != nil {
		t.Fatal(err)
	}
	kept := int64(w.Rows) * int64(w.Cols-w.Cols/2)
	if g, ok := selector.(pruning.Group); ok {
		kept = g.Kept(w.Rows, w.Cols)
	}
	in := &pruning.Inputs{Stats: stats, Cols: w.Cols, Workers: 2}
	score, why := scorer.Scores(in, w.Rows)
	if why != "" {
		t.Fatal(why)
	}
	task := pruning.NewTask(w, in, score, selector, kept)
	pruning.Zero{}.Solve(task)
	var out []byte
	for _, word := range task.Mask.Bits {
		out = binary.LittleEndian.AppendUint64(out, word)
	}
	return out
}

func TestMasksOfALayerAreTorchs(t *testing.T) {
	var layer struct {
		Tokens     int64
		Rows, Cols int
		Weights    []float32
		Moments    []float64
		Masks      map[string]string
	}
	if err := json.Unmarshal(torchLayer, &layer); err != nil {
		t.Fatal(err)
	}
	w := tensor.Of(layer.Rows, layer.Cols, layer.Weights)
	stats := &calib.Stats{Tokens: layer.Tokens, SqSum: layer.Moments}
	for _, name := range torchOrder {
		want, err := hex.DecodeString(layer.Masks[name])
		if err != nil {
			t.Fatal(err)
		}
		if got := maskBytes(t, w, stats, name); !bytes.Equal(got, want) {
			t.Errorf("%s: %x, torch has %x", name, got, want)
		}
	}
}

func TestMasksOfModelsAreTorchs(t *testing.T) {
	for _, model := range []string{"stories260K", "babyllama-tok105", "pith-ref"} {
		ckpt, err := checkpoint.Open(sharedtest.Path(t, "models", model))
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(sharedtest.Path(t, "text", "tinystories_val.txt"))
		if err != nil {
			t.Fatal(err)
		}
		o, err := observe.New(t.Context(), ckpt, []observe.Text{{Name: "seen", Data: text[:12000]}}, observe.Options{Moments: true})
		if err != nil {
			t.Fatal(err)
		}
		defer o.Close()
		set, err := o.Gather(t.Context(), calib.Model{})
		if err != nil {
			t.Fatal(err)
		}
		weights := 0
		for line := range strings.Lines(torchDigests) {
			fields := strings.Fields(line)
			if fields[0] != model {
				continue
			}
			weights++
			rows, err := ckpt.Rows(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			w := tensor.NewMat(rows.Dims())
			if err := rows.Read(w, 0); err != nil {
				t.Fatal(err)
			}
			stats, err := set.For(fields[1], w.Cols, calib.Moments)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.New()
			for _, name := range torchOrder {
				sum.Write(maskBytes(t, w, stats, name))
			}
			if got := hex.EncodeToString(sum.Sum(nil))[:16]; got != fields[2] {
				t.Errorf("%s: %s: digest %s, torch has %s", model, fields[1], got, fields[2])
			}
		}
		if weights < 30 {
			t.Errorf("%s: digests of %d weights", model, weights)
		}
	}
}

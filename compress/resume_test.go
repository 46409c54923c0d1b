package compress

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pith/checkpoint"
	"pith/internal/synth/llama"
)

func TestResumedRunsEndByteIdentical(t *testing.T) {
	t.Parallel()
	src := source(t, "tiny")
	want := artifact(t, "tiny")
	c := open(t, src)
	p := resolve(t, c, mixed)
	for _, stop := range []int{0, 2} {
		out := filepath.Join(t.TempDir(), "out")
		ctx, cancel := context.WithCancel(t.Context())
		done := 0
		_, err := Run(ctx, c, p, out, Options{Workers: 2, Events: func(e Event) {
			if e.Kind == BlockDone {
				if done++; done > stop {
					cancel()
				}
			}
		}})
		cancel()
		if err == nil && stop < len(p.Blocks)-1 {
			t.Fatalf("stopped after block %d, but finished", stop)
		}
		if err != nil && (!errors.Is(err, ErrInterrupted) || !strings.Contains(err.Error(), "run the same command again")) {
			t.Fatal(err)
		}
		if err != nil {
			if _, err := checkpoint.Open(out); err == nil || !strings.Contains(err.Error(), "not finished") {
				t.Errorf("an unfinished directory opens: %v", err)
			}
			if _, err := Verify(out); err == nil || !strings.Contains(err.Error(), "not finished") {
				t.Errorf("an unfinished directory verifies: %v", err)
			}
		}
		res, err := Run(t.Context(), c, p, out, Options{Workers: 1})
		if err != nil {
			t.Fatal(err)
		}
		if res.Skipped <= min(stop, len(p.Blocks)-1) {
			t.Errorf("stopped after block %d: only %d blocks were skipped", stop, res.Skipped)
		}
		sameFiles(t, "resumed", out, want)
	}
}

func TestResumeMakesDamagedShardsAgain(t *testing.T) {
	t.Parallel()
	src := source(t, "tiny")
	want := artifact(t, "tiny")
	c := open(t, src)
	p := resolve(t, c, mixed)
	for name, damage := range map[string]func(data []byte) []byte{
		"last byte flipped":   func(d []byte) []byte { d[len(d)-1] ^= 1; return d },
		"header byte flipped": func(d []byte) []byte { d[bytes.Index(d, []byte(`[[`))+3] ^= 1; return d },
		"error flipped":       func(d []byte) []byte { d[bytes.Index(d, []byte(`e-0`))-1] ^= 1; return d },
		"cut":                 func(d []byte) []byte { return d[:len(d)/2] },
		"empty":               func([]byte) []byte { return nil },
	} {
		out := artifact(t, "tiny")
		path := filepath.Join(out, "model-00002-of-00004.safetensors")
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if name == "header byte flipped" && !bytes.Contains(data, []byte(`[[`)) {
			data[20] ^= 1
		} else {
			data = damage(data)
		}
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(out); err == nil || !strings.Contains(err.Error(), "model-00002") {
			t.Errorf("%s: Verify says %v", name, err)
		}
		res, err := Run(t.Context(), c, p, out, Options{})
		if err != nil || res.Skipped != len(p.Blocks)-1 {
			t.Errorf("%s: %+v %v", name, res, err)
		}
		sameFiles(t, name, out, want)
	}
}

func TestResumeNoticesAChangedSource(t *testing.T) {
	t.Parallel()
	out := artifact(t, "tiny")
	other := filepath.Join(t.TempDir(), "model")
	if err := llama.Write(other, llama.Shapes()["tiny"], llama.Options{Seed: 2}); err != nil {
		t.Fatal(err)
	}
	d := open(t, other)
	res, err := Run(t.Context(), d, resolve(t, d, mixed), out, Options{})
	if err != nil || res.Skipped != 0 {
		t.Errorf("%+v %v", res, err)
	}
	sameFiles(t, "changed source", out, compressed(t, other, Options{}))
}

func TestAnotherPlanNeedsOverwriteAndForeignFilesStay(t *testing.T) {
	t.Parallel()
	src := source(t, "tiny")
	out := artifact(t, "tiny")
	note := filepath.Join(out, "NOTES.txt")
	if err := os.WriteFile(note, []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	c := open(t, src)
	p := resolve(t, c, `rules: [{match: "*", codec: q4_0}]`)
	if _, err := Run(t.Context(), c, p, out, Options{}); err == nil || !strings.Contains(err.Error(), "--overwrite") {
		t.Fatalf("error %v", err)
	}
	if _, err := Verify(out); err != nil {
		t.Errorf("the refused run has touched the artifact: %v", err)
	}
	if _, err := Run(t.Context(), c, p, out, Options{Overwrite: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(out); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(note); err != nil || string(data) != "mine" {
		t.Error("a foreign file was touched")
	}
}

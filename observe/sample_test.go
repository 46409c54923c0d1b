package observe

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pith/calib"
	"pith/model"
	"pith/tokenizer"
)

// writer returns the tiny model as something that draws texts.
func writer(t *testing.T) (*model.Model, *tokenizer.Tokenizer) {
	t.Helper()
	c := tiny(t)
	config, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.New(config, c, 1)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := c.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	return m, tok
}

func sampled(t *testing.T, ctx context.Context, path string, o SampleOptions) (Sampled, []byte, error) {
	t.Helper()
	m, tok := writer(t)
	s, err := WriteSample(ctx, m, tok, calib.Model{Type: "llama", SHA256: "tiny"}, path, o)
	data, _ := os.ReadFile(path)
	return s, data, err
}

var sampling = SampleOptions{Tokens: 1500, Length: 40, Draw: model.Sampling{Temperature: 1, Seed: 5}, Workers: 1}

func TestAModelsTextIsDrawnFromItsBeginning(t *testing.T) {
	s, data, err := sampled(t, t.Context(), filepath.Join(t.TempDir(), "own.txt"), sampling)
	if err != nil {
		t.Fatal(err)
	}
	if s.Tokens < 1500 || s.Tokens >= 1540 || s.Bytes != int64(len(data)) || s.Texts < 1500/40 {
		t.Errorf("%+v, %d bytes", s, len(data))
	}
	m, tok := writer(t)
	bos, _ := tok.BOS()
	at := string(data)
	for i := range s.Texts {
		draw := sampling.Draw
		draw.Seed += uint64(i)
		var ids []int32
		o := model.GenerateOptions{Sample: draw, MaxTokens: 40, Stop: stopTokens(m, tok)}
		if _, err := model.Generate(t.Context(), m.NewSession(41), []int32{bos}, o, func(id int32) bool { ids = append(ids, id); return true }); err != nil {
			t.Fatal(err)
		}
		var found bool
		if at, found = strings.CutPrefix(at, textOf(tok, ids)+"\n"); !found {
			t.Fatalf("text %d is not what seed %d gives", i, draw.Seed)
		}
	}
	if at != "" {
		t.Errorf("%q is left", at)
	}
}

func TestSamplesAreTheSameForAnyWorkersAndResumed(t *testing.T) {
	dir := t.TempDir()
	_, want, err := sampled(t, t.Context(), filepath.Join(dir, "want"), sampling)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "got")
	ctx, cancel := context.WithCancel(t.Context())
	o := sampling
	o.Workers = 3
	o.Progress = func(done, of int) {
		if done > of/2 {
			cancel()
		}
	}
	if _, _, err := sampled(t, ctx, path, o); !errors.Is(err, ErrInterrupted) {
		t.Fatalf("interrupted: %v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("an interrupted run leaves a file")
	}
	log := filepath.Join(path+".work", "texts.jsonl")
	kept, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what    string
		kept    []byte
		resumed bool
	}{
		{"as it was left", kept, true},
		{"the last line cut off", kept[:len(kept)-7], true},
		{"cut off in its first line", kept[:9], false},
		{"a line that is no text", append(bytes.SplitAfterN(kept, []byte("\n"), 2)[0], "{}\n"...), false},
		{"too many tokens", bytes.Replace(kept, []byte(`"tokens":`), []byte(`"tokens":9`), 1), false},
		{"a text left out", append(bytes.SplitAfterN(kept, []byte("\n"), 2)[0], bytes.SplitAfterN(kept, []byte("\n"), 3)[2]...), false},
	} {
		if err := os.MkdirAll(path+".work", 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(log, c.kept, 0o666); err != nil {
			t.Fatal(err)
		}
		s, got, err := sampled(t, t.Context(), path, sampling)
		if err != nil || !bytes.Equal(got, want) || (s.Resumed > 0) != c.resumed {
			t.Errorf("%s: %+v, %v, the same bytes: %v", c.what, s, err, bytes.Equal(got, want))
		}
		if left, _ := filepath.Glob(path + ".*"); len(left) > 0 {
			t.Errorf("%s: %v is left", c.what, left)
		}
		os.Remove(path)
	}
	for what, log := range map[string][]byte{"another model's": bytes.Replace(kept, []byte("tiny"), []byte("else"), 1), "notes": []byte("my notes\n")} {
		if err := os.MkdirAll(path+".work", 0o777); err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(path+".work", "texts.jsonl")
		if err := os.WriteFile(at, log, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, _, err := sampled(t, t.Context(), path, sampling); err == nil || !strings.Contains(err.Error(), "other options") {
			t.Errorf("%s: %v", what, err)
		}
		if left, _ := os.ReadFile(at); !bytes.Equal(left, log) {
			t.Errorf("%s: is not what it was", what)
		}
	}
	o = sampling
	o.Draw.Seed++
	if _, other, err := sampled(t, t.Context(), filepath.Join(dir, "other"), o); err != nil || bytes.Equal(other, want) {
		t.Errorf("another seed: %v, the same bytes: %v", err, bytes.Equal(other, want))
	}
}

func TestSamplesThatCannotBeAreErrors(t *testing.T) {
	dir := t.TempDir()
	there := filepath.Join(dir, "there")
	if err := os.WriteFile(there, []byte("mine"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path, want string
		change     func(o *SampleOptions)
	}{
		{there, "exists", func(*SampleOptions) {}},
		{dir + "/", "names a directory", func(*SampleOptions) {}},
		{dir, "is a directory", func(*SampleOptions) {}},
		{filepath.Join(there, "a"), "a file is where", func(*SampleOptions) {}},
		{filepath.Join(dir, "a"), "temperature 0", func(o *SampleOptions) { o.Draw.Temperature = 0 }},
		{filepath.Join(dir, "a"), "above zero", func(o *SampleOptions) { o.Tokens = 0 }},
		{filepath.Join(dir, "a"), "above zero", func(o *SampleOptions) { o.Length = -1 }},
		{filepath.Join(dir, "a"), "top-k", func(o *SampleOptions) { o.Draw.TopK = -1 }},
	} {
		o := sampling
		c.change(&o)
		if _, _, err := sampled(t, t.Context(), c.path, o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.path, err, c.want)
		}
	}
	if data, _ := os.ReadFile(there); string(data) != "mine" {
		t.Error("a file was replaced")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.work")); len(left) > 0 {
		t.Errorf("%v is left", left)
	}
}

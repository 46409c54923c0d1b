package vocab

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pith/checkpoint"
	"pith/internal/sharedtest"
	"pith/model"
	"pith/tokenizer"
)

// opened is a shared model with counts of a text.
type opened struct {
	*Model
	ckpt   *checkpoint.Checkpoint
	counts *Counts
}

func openShared(t testing.TB, name, text string) opened {
	t.Helper()
	ckpt, err := checkpoint.Open(sharedtest.Path(t, "models", name))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ckpt.Close() })
	m, err := Open(ckpt)
	if err != nil {
		t.Fatal(err)
	}
	counts, err := Text(context.Background(), m.Tokenizer, strings.NewReader(read(t, text, 1<<30)), 2)
	if err != nil {
		t.Fatal(err)
	}
	return opened{m, ckpt, counts}
}

// read returns the first bytes of a shared text, to the end of a line.
func read(t testing.TB, name string, n int) string {
	t.Helper()
	data, err := os.ReadFile(sharedtest.Path(t, "text", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	if n < len(data) {
		data = data[:n+bytes.IndexByte(data[n:], '\n')]
	}
	return string(data)
}

// trimmed returns the view of a selection and its tokenizer.
func (o opened) trimmed(t testing.TB, ids []int32) (*checkpoint.Checkpoint, *tokenizer.Tokenizer) {
	t.Helper()
	shown, notes, err := o.View(ids)
	if err != nil || len(notes) > 0 {
		t.Fatalf("%v, %v", err, notes)
	}
	tok, err := shown.Tokenizer()
	if err != nil {
		t.Fatal(err)
	}
	return shown, tok
}

func load(t testing.TB, c *checkpoint.Checkpoint) *model.Model {
	t.Helper()
	cfg, err := c.Config()
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.New(cfg, c, 2)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// shared are the models, the text to count and the text of the same kind to judge on.
var shared = []struct{ model, count, judge string }{
	{"stories260K", "tinystories_200k.txt", "tinystories_val.txt"},
	{"babyllama-tok105", "tinystories_200k.txt", "tinystories_val.txt"},
	{"pith-ref", "wikitext-2.valid.txt", "wiki.test.raw"},
}

// The defining property: kept tokens have the logits that they had, bit for bit, on texts that need no others.
func TestLogitsOfKeptTokensAreThoseOfTheWholeModel(t *testing.T) {
	for _, s := range shared {
		o := openShared(t, s.model, s.count)
		classes := Classes()
		if s.model == "babyllama-tok105" {
			classes = []Class{Special} // all its tokens are characters
		}
		r, err := o.Rank(o.counts, classes)
		if err != nil {
			t.Fatal(err)
		}
		sel, err := r.Coverage(0.98)
		if err != nil {
			t.Fatal(err)
		}
		shown, tok := o.trimmed(t, sel.IDs)
		whole, left := load(t, o.ckpt), load(t, shown)
		compared := 0
		for line := range strings.Lines(read(t, s.judge, 20000)) {
			ids := tok.Encode(line, tokenizer.EncodeOptions{AddSpecial: true})
			if len(ids) < 4 || len(ids) > 200 {
				continue
			}
			old := make([]int32, len(ids))
			for i, id := range ids {
				old[i] = sel.IDs[id]
			}
			a, b := whole.Logits(whole.Forward([][]int32{old})), left.Logits(left.Forward([][]int32{ids}))
			for row := range a.Rows {
				for i, id := range sel.IDs {
					if a.Row(row)[id] != b.Row(row)[i] {
						t.Fatalf("%s: position %d, token %d: logit %g, was %g", s.model, row, id, b.Row(row)[i], a.Row(row)[id])
					}
				}
			}
			if compared += len(ids); compared > 400 {
				break
			}
		}
		if compared < 200 {
			t.Errorf("%s: only %d positions compared", s.model, compared)
		}
		t.Logf("%s: %d of %d tokens, %d positions", s.model, len(sel.IDs), o.Tokenizer.Size(), compared)
	}
}

func TestSelectionsAreNestedClosedAndCoverMoreTheLargerTheyAre(t *testing.T) {
	o := openShared(t, "pith-ref", "wikitext-2.valid.txt")
	r, err := o.Rank(o.counts, Classes())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Size(r.Must() - 1); err == nil || !strings.Contains(err.Error(), "must stay") {
		t.Errorf("fewer than must stay: %v", err)
	}
	last := Selection{}
	for _, k := range []int{r.Must(), 400, 600, 1000, 1001, 2000, 4095, 4096, 10000} {
		s, err := r.Size(k)
		if err != nil {
			t.Fatal(err)
		}
		if len(s.IDs) > k || last.IDs != nil && s.Coverage() < last.Coverage() || !slices.IsSorted(s.IDs) {
			t.Errorf("%d tokens: %d chosen, coverage %g after %g", k, len(s.IDs), s.Coverage(), last.Coverage())
		}
		keep := make([]bool, o.Tokenizer.Size())
		for _, id := range s.IDs {
			keep[id] = true
		}
		for _, id := range last.IDs {
			if !keep[id] {
				t.Fatalf("%d tokens: token %d of a smaller selection is gone", k, id)
			}
		}
		o.Tokenizer.Close(keep)
		n := 0
		for _, k := range keep {
			if k {
				n++
			}
		}
		if n != len(s.IDs) {
			t.Errorf("%d tokens: %d chosen, closed they are %d", k, len(s.IDs), n)
		}
		for _, id := range Kept(o.Tokenizer, Classes()) {
			if !slices.Contains(s.IDs, id) {
				t.Fatalf("%d tokens: token %d must stay", k, id)
			}
		}
		last = s
	}
	for _, part := range []float64{0.5, 0.9, 0.999, 1} {
		s, err := r.Coverage(part)
		if err != nil || s.Coverage() < part {
			t.Errorf("coverage %g: %g, %v", part, s.Coverage(), err)
		}
		if smaller, err := r.Size(len(s.IDs) - 1); err == nil && smaller.Coverage() >= part {
			t.Errorf("coverage %g: %d tokens do, %d were chosen", part, len(smaller.IDs), len(s.IDs))
		}
	}
	for _, part := range []float64{0, -1, 1.1} {
		if _, err := r.Coverage(part); err == nil {
			t.Errorf("coverage %g: no error", part)
		}
	}
}

// Bar: on the domain that was counted, a held-out text takes at most 5 % more tokens.
func TestFertilityOnTheKeptDomain(t *testing.T) {
	for _, s := range shared {
		o := openShared(t, s.model, s.count)
		r, err := o.Rank(o.counts, Classes())
		if err != nil {
			t.Fatal(err)
		}
		sel, err := r.Coverage(0.99)
		if err != nil {
			t.Fatal(err)
		}
		_, tok := o.trimmed(t, sel.IDs)
		text := read(t, s.judge, 1<<30)
		old, new := len(o.Tokenizer.Encode(text, tokenizer.EncodeOptions{})), len(tok.Encode(text, tokenizer.EncodeOptions{}))
		ratio := float64(new) / float64(old)
		t.Logf("%s: %d of %d tokens, coverage %.4f, fertility %.4f", s.model, len(sel.IDs), o.Tokenizer.Size(), sel.Coverage(), ratio)
		if ratio > 1.05 {
			t.Errorf("%s: %d tokens became %d", s.model, old, new)
		}
	}
}

func TestConfigAndMapFollowAndTrimmingAgainComposes(t *testing.T) {
	o := openShared(t, "stories260K", "tinystories_200k.txt")
	r, err := o.Rank(o.counts, Classes())
	if err != nil {
		t.Fatal(err)
	}
	first, err := r.Size(450)
	if err != nil {
		t.Fatal(err)
	}
	shown, tok := o.trimmed(t, first.IDs)
	cfg, err := shown.Config()
	if err != nil || cfg.Vocab != len(first.IDs) || tok.Size() != cfg.Vocab {
		t.Fatalf("vocabulary of %d, tokenizer of %d, want %d (%v)", cfg.Vocab, tok.Size(), len(first.IDs), err)
	}
	again, err := Open(shown)
	if err != nil {
		t.Fatal(err)
	}
	counts, err := Text(context.Background(), tok, strings.NewReader(read(t, "tinystories_200k.txt", 1<<30)), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := counts.Merge(o.counts); err == nil {
		t.Error("counts of different tokenizers are added")
	}
	if _, err := again.Rank(o.counts, nil); err == nil {
		t.Error("counts of another tokenizer are taken")
	}
	ranked, err := again.Rank(counts, Classes())
	if err != nil {
		t.Fatal(err)
	}
	second, err := ranked.Size(400)
	if err != nil {
		t.Fatal(err)
	}
	both, _, err := again.View(second.IDs)
	if err != nil {
		t.Fatal(err)
	}
	contents, err := both.ConfigContents()
	if err != nil {
		t.Fatal(err)
	}
	var m Map
	for _, f := range contents {
		if f.Name == checkpoint.VocabMapName {
			if m, err = ParseMap(f.Data); err != nil {
				t.Fatal(err)
			}
		}
	}
	last, err := both.Tokenizer()
	if err != nil || len(m) != last.Size() {
		t.Fatalf("a map of %d for %v tokens (%v)", len(m), last, err)
	}
	for id, old := range m {
		if !bytes.Equal(last.TokenBytes(int32(id)), o.Tokenizer.TokenBytes(old)) {
			t.Fatalf("token %d is not the first vocabulary's %d", id, old)
		}
	}
}

func TestIDsInConfigsAreRenumberedWhereverTheyStand(t *testing.T) {
	in := `{"vocab_size":9,"eos_token_id":[2,7],"pad_token_id":5,"bos_token_id":null,"image_token_index":8,"text_config":{"vocab_size":9,"bos_token_id":2},"hidden_size":4,"none_token_id":-1,"bad_words_ids":[[7,2],[5]]}`
	ids, err := ConfigIDs([]byte(in))
	if want := []int32{2, 7, 5, 8, 2, 7, 2, 5}; err != nil || !slices.Equal(ids, want) {
		t.Errorf("ids %v, %v; want %v", ids, err, want)
	}
	out, err := renumberConfig([]byte(in), Map{1, 2, 8}.New())
	if err != nil {
		t.Fatal(err)
	}
	var short bytes.Buffer
	if err := json.Compact(&short, out); err != nil {
		t.Fatal(err)
	}
	want := `{"vocab_size":3,"eos_token_id":[1],"pad_token_id":null,"bos_token_id":null,"image_token_index":2,"text_config":{"vocab_size":3,"bos_token_id":1},"hidden_size":4,"none_token_id":-1,"bad_words_ids":[[1]]}`
	if short.String() != want {
		t.Errorf("%s\nwant %s", short.String(), want)
	}
}

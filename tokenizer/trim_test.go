package tokenizer

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// trainedFiles lists the tokenizers of testdata/trained.
func trainedFiles(t testing.TB) []string {
	t.Helper()
	var names []string
	for _, pattern := range []string{"*.json", "*.model"} {
		paths, err := filepath.Glob(filepath.Join("testdata", "trained", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range paths {
			if name := filepath.Base(p); name != "strings.json" {
				names = append(names, name)
			}
		}
	}
	if len(names) != 22 {
		t.Fatalf("%d tokenizers, want 22", len(names))
	}
	return names
}

// cut is a tokenizer and what is left of it.
type cut struct {
	name         string
	whole, left  *Tokenizer
	ids          []int32         // new → old
	new          map[int32]int32 // old → new
	viaVocab     *Tokenizer      // the same selection of the whole vocabulary as GGUF holds it, nil if it cannot
	wholeInVocab *Tokenizer
}

// selection keeps specials, atoms and about a part of the others, closed.
func selection(t *Tokenizer, part float64, seed uint64) []int32 {
	rng := rand.New(rand.NewPCG(seed, 1))
	keep := make([]bool, t.Size())
	for _, id := range append(t.Specials(), t.Atoms()...) {
		keep[id] = true
	}
	for id := range keep {
		keep[id] = keep[id] || rng.Float64() < part
	}
	t.Close(keep)
	return chosen(keep)
}

func chosen(keep []bool) (ids []int32) {
	for id, k := range keep {
		if k {
			ids = append(ids, int32(id))
		}
	}
	return ids
}

// cutDown trims a tokenizer of testdata/trained.
func cutDown(t testing.TB, name string, part float64, seed uint64) cut {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "trained", name))
	if err != nil {
		t.Fatal(err)
	}
	c := cut{name: fmt.Sprintf("%s cut to %g", name, part), whole: trained(t, name), new: map[int32]int32{}}
	c.ids = selection(c.whole, part, seed)
	for i, id := range c.ids {
		c.new[id] = int32(i)
	}
	c.left = c.reread(t, name, data)
	v := c.whole.Vocab()
	if v.Model == "" {
		return c
	}
	less, err := v.Trim(c.ids)
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	if c.wholeInVocab, err = FromVocab(v); err == nil {
		c.viaVocab, err = FromVocab(less)
	}
	if err != nil {
		t.Fatalf("%s as a GGUF vocabulary: %v", c.name, err)
	}
	return c
}

// reread trims the file and reads what is left.
func (c *cut) reread(t testing.TB, name string, data []byte) (left *Tokenizer) {
	t.Helper()
	var err error
	if strings.HasSuffix(name, ".json") {
		if data, err = TrimJSON(data, c.ids); err == nil {
			left, err = FromJSON(data, nil)
		}
	} else if data, err = TrimSentencePiece(data, c.ids); err == nil {
		left, err = FromSentencePiece(data, nil)
	}
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	return left
}

// mapped returns the new ids of old ones; false if one is gone.
func (c *cut) mapped(old []int32) ([]int32, bool) {
	out := make([]int32, len(old))
	for i, id := range old {
		new, ok := c.new[id]
		if !ok {
			return nil, false
		}
		out[i] = new
	}
	return out, true
}

// check compares what is left with the whole on one text; covered: all its ids are kept.
func (c *cut) check(t *testing.T, text string) (covered bool) {
	t.Helper()
	for _, o := range []EncodeOptions{{}, {AddSpecial: true, ParseSpecial: true}} {
		old, got := c.whole.Encode(text, o), c.left.Encode(text, o)
		want, all := c.mapped(old)
		covered = covered || all
		if all && !slices.Equal(got, want) {
			t.Fatalf("%s: %q gave %v, now %v; %v are the same ids", c.name, text, old, got, want)
		}
		if a, b := c.whole.Decode(old), c.left.Decode(got); a != b {
			t.Fatalf("%s: %q came back as %q, now as %q", c.name, text, a, b)
		}
		if c.viaVocab == nil {
			continue
		}
		old, got = c.wholeInVocab.Encode(text, o), c.viaVocab.Encode(text, o)
		if want, all = c.mapped(old); all && !slices.Equal(got, want) {
			t.Fatalf("%s in GGUF: %q gave %v, now %v; %v are the same ids", c.name, text, old, got, want)
		}
	}
	return covered
}

// writing returns a text of tokens that are kept.
func (c *cut) writing(rng *rand.Rand) string {
	var b strings.Builder
	for range 1 + rng.IntN(12) {
		b.Write(c.whole.TokenBytes(c.ids[rng.IntN(len(c.ids))]))
	}
	return validUTF8(b.String())
}

// The defining property: texts whose ids are all kept have the same ids, renumbered, and every other text comes back as it did.
func TestTextsOfKeptTokensEncodeAsBefore(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "docs", "formats", "tokenizers.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := append(trickyStrings(t), strings.Split(string(doc), "\n")...)
	for _, name := range trainedFiles(t) {
		for i, part := range []float64{0.03, 0.3, 0.8} {
			c := cutDown(t, name, part, uint64(i))
			rng := rand.New(rand.NewPCG(7, uint64(i)))
			texts := slices.Clone(lines)
			for range 300 {
				texts = append(texts, c.writing(rng))
			}
			covered := 0
			for _, text := range texts {
				if c.check(t, text) {
					covered++
				}
			}
			if covered < 20 {
				t.Errorf("%s: only %d of %d texts have no other tokens", c.name, covered, len(texts))
			}
			if c.left.Size() != len(c.ids) {
				t.Errorf("%s: %d tokens, want %d", c.name, c.left.Size(), len(c.ids))
			}
			for new, old := range c.ids {
				if c.left.Type(int32(new)) != c.whole.Type(old) || string(c.left.TokenBytes(int32(new))) != string(c.whole.TokenBytes(old)) {
					t.Fatalf("%s: token %d is not what token %d was", c.name, new, old)
				}
			}
		}
	}
}

func TestClosingTwiceAddsNothingAndBPENeedsIt(t *testing.T) {
	needed := 0
	for _, name := range trainedFiles(t) {
		whole := trained(t, name)
		for seed := range uint64(3) {
			ids := selection(whole, 0.2, seed)
			keep := make([]bool, whole.Size())
			for _, id := range ids {
				keep[id] = true
			}
			whole.Close(keep)
			if again := chosen(keep); !slices.Equal(again, ids) {
				t.Errorf("%s: closing again keeps %d, not %d", name, len(again), len(ids))
			}
			// One part of a kept token less, and that token cannot be written any more.
			for _, id := range ids {
				made := partsOf(whole, id)
				if len(made) < 3 {
					continue
				}
				part := made[len(made)-2]
				c := cut{name: name, whole: whole, ids: slices.DeleteFunc(slices.Clone(ids), func(x int32) bool { return x == part })}
				data, err := os.ReadFile(filepath.Join("testdata", "trained", name))
				if err != nil {
					t.Fatal(err)
				}
				left := c.reread(t, name, data)
				at, _ := slices.BinarySearch(c.ids, id)
				if left.ignoresMerges() {
					break
				}
				if made := partsOf(left, int32(at)); made != nil {
					t.Errorf("%s: token %d is still made after token %d went", name, id, part)
				}
				needed++
				break
			}
		}
	}
	if needed < 30 {
		t.Errorf("only %d tokens looked at", needed)
	}
}

func (t *Tokenizer) ignoresMerges() bool {
	m, ok := t.model.(*mergeBPE)
	return ok && m.ignoreMerges
}

// partsOf returns the tokens that are made on the way to id, itself last; nil if its text does not give it.
func partsOf(t *Tokenizer, id int32) []int32 {
	m, ok := t.model.(*mergeBPE)
	if !ok {
		return nil
	}
	var s scratch
	made, whole := m.trace(t.tokens[id], &s)
	if !whole || made[len(made)-1] != id {
		return nil
	}
	return made
}

func TestIDsThatFilesReferToMustBeKept(t *testing.T) {
	data, err := os.ReadFile(filepath.Join("testdata", "trained", "llama3.json"))
	if err != nil {
		t.Fatal(err)
	}
	whole := trained(t, "llama3.json")
	bos, ok := whole.BOS()
	if !ok {
		t.Fatal("no BOS")
	}
	ids := slices.DeleteFunc(selection(whole, 0.5, 1), func(id int32) bool { return id == bos })
	if _, err := TrimJSON(data, ids); err == nil || !strings.Contains(err.Error(), "not kept") {
		t.Errorf("a template's token left out: %v", err)
	}
	for why, ids := range map[string][]int32{"none": nil, "falling": {3, 2}, "twice": {3, 3}, "negative": {-1, 2}} {
		if _, err := TrimJSON(data, ids); err == nil {
			t.Errorf("%s: no error", why)
		}
	}
	if _, err := whole.Vocab().Trim([]int32{1 << 20}); err == nil {
		t.Error("an id outside the vocabulary is kept")
	}
}

// FuzzTrimmed checks the defining property on any text, for three kinds of models.
func FuzzTrimmed(f *testing.F) {
	var cuts []cut
	for i, name := range []string{"gpt2.json", "llama3.json", "gemma.json", "sp-bpe-user.model", "sp-unigram-bytes.model", "unigram-bytes.json"} {
		cuts = append(cuts, cutDown(f, name, 0.3, uint64(i)))
	}
	for _, s := range trickyStrings(f) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 400 {
			return
		}
		for i := range cuts {
			cuts[i].check(t, s)
		}
	})
}

// FuzzTrimFiles: whatever a tokenizer file that loads holds, trimming it gives a file that loads or an error.
func FuzzTrimFiles(f *testing.F) {
	f.Add([]byte(bpeJSON("null", "null", `{"type":"ByteLevel"}`, tinyBPE)), []byte(`{"added_tokens_decoder":{"1":{"content":"a"}}}`), uint16(3))
	f.Add([]byte(bpeJSON("null", "null", "null", `{"type":"Unigram","unk_id":0,"byte_fallback":true,"vocab":[["<unk>",0],["a",-1.5],["ab",-2]]}`)), []byte(`{}`), uint16(1))
	f.Fuzz(func(t *testing.T, file, config []byte, seed uint16) {
		whole, err := FromJSON(file, config)
		if err != nil || whole.Size() > 5000 {
			return
		}
		ids := selection(whole, 0.5, uint64(seed))
		if len(ids) == 0 {
			return
		}
		files, _, err := TrimFiles(map[string][]byte{"tokenizer.json": file, "tokenizer_config.json": config}, whole, ids)
		if err != nil {
			return
		}
		left, err := FromFiles("fuzz", files)
		if err != nil {
			return // such as two added tokens of one spelling, of which one is gone
		}
		checkLoaded(t, left)
	})
}

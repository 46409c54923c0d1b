package tokenizer

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// byteLevel lists the trained byte-level tokenizers with the GGUF pre-tokenizer of each, and what must change in the file for it to be of that type.
var byteLevel = []struct {
	file, pre string
	change    func(file map[string]any)
}{
	{"gpt2.json", "gpt-2", nil}, {"llama3.json", "llama-bpe", nil}, {"cl100k.json", "dbrx", nil}, {"qwen2.json", "qwen2", nil},
	{"o200k.json", "gpt-4o", nil}, {"smollm.json", "smollm", nil}, {"deepseek3.json", "deepseek-v3", nil}, {"deepseek-coder.json", "deepseek-coder", nil},
	{"qwen35.json", "qwen35", func(file map[string]any) { file["normalizer"] = map[string]any{"type": "NFC"} }},
	{"tekken.json", "tekken", func(file map[string]any) { file["model"].(map[string]any)["ignore_merges"] = true }},
	{"gpt2-prefix-space.json", "gpt-2", func(file map[string]any) {
		for _, tok := range file["added_tokens"].([]any) {
			for _, flag := range []string{"lstrip", "rstrip", "single_word", "normalized"} {
				tok.(map[string]any)[flag] = false
			}
		}
	}},
}

// changed opens a trained tokenizer.json with a change.
func changed(t testing.TB, name string, change func(map[string]any)) *Tokenizer {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "trained", name))
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		var file map[string]any
		if err := json.Unmarshal(b, &file); err != nil {
			t.Fatal(err)
		}
		change(file)
		if b, err = json.Marshal(file); err != nil {
			t.Fatal(err)
		}
	}
	tok, err := FromJSON(b, nil)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return tok
}

// PITH_TOKENIZERS names a directory that gets the files, for comparing them with other implementations.
func TestByteLevelVocabulariesAsJSONGiveTheSameIDs(t *testing.T) {
	written := make(map[string]bool)
	for _, c := range byteLevel {
		tok := changed(t, c.file, c.change)
		v := tok.Vocab()
		if v.Pre != c.pre || len(v.Lost) > 0 {
			t.Errorf("%s: pre-tokenizer %q, want %q; lost: %q", c.file, v.Pre, c.pre, v.Lost)
			continue
		}
		written[v.Pre] = true
		file, config, err := v.JSON()
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		again, err := FromJSON(file, config)
		if err != nil {
			t.Errorf("%s: %v", c.file, err)
			continue
		}
		sameIDs(t, c.file, tok, again, trickyStrings(t))
		back := again.Vocab()
		if !slices.Equal(back.Tokens, v.Tokens) || !slices.Equal(back.Types, v.Types) || !slices.Equal(back.Merges, v.Merges) || back.Pre != v.Pre || len(back.Lost) > 0 {
			t.Errorf("%s: the vocabulary comes back otherwise; lost: %q", c.file, back.Lost)
		}
		file2, config2, err := back.JSON()
		if err != nil || !bytes.Equal(file, file2) || !bytes.Equal(config, config2) {
			t.Errorf("%s: other bytes the second time (%v)", c.file, err)
		}
		if dir := os.Getenv("PITH_TOKENIZERS"); dir != "" {
			writeTokenizer(t, filepath.Join(dir, strings.TrimSuffix(c.file, ".json")), file, config)
		}
	}
	for _, p := range preTypes {
		if !written[p.names[0]] {
			t.Errorf("no trained tokenizer is of the type %s", p.names[0])
		}
	}
}

func writeTokenizer(t *testing.T, dir string, file, config []byte) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{"tokenizer.json": file, "tokenizer_config.json": config} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// Every name that is read is written, and comes back as a tokenizer with the same ids, whatever is added around a text and whatever ids are unused.
func TestEveryPreTokenizerNameSurvivesJSONWithSpecialsAndUnusedIDs(t *testing.T) {
	texts := trickyStrings(t)
	for _, p := range preTypes {
		for i, name := range p.names {
			v := trained(t, "gpt2.json").Vocab()
			v.Pre, v.ChatTemplate = name, "{{ bos_token }} & <|im_start|>\u2028é"
			v.Tokens = append(slices.Clone(v.Tokens), "[PAD]", "", "<unk>", "\t\t", "[PAD]2")
			n := int32(len(v.Tokens))
			v.Types = append(slices.Clone(v.Types), Unused, Unused, Unknown, UserDefined, Unused)
			v.BOS, v.EOS, v.UNK, v.PAD = 0, 1, n-3, n-5
			v.AddBOS, v.AddEOS, v.AddSpacePrefix = i%2 == 0, i%4 < 2, name == "gpt-2"
			want, err := FromVocab(v)
			if err != nil {
				t.Fatal(err)
			}
			file, config, err := want.Vocab().JSON()
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			got, err := FromJSON(file, config)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			sameIDs(t, name, want, got, append(texts, "a<unk>b\t\tc[PAD]d[EMPTY_701]e[PAD]2"))
			if got.AddBOS() != v.AddBOS || got.AddEOS() != v.AddEOS || got.ChatTemplate() != v.ChatTemplate || got.bos != v.BOS || got.eos != v.EOS || got.unk != v.UNK || got.pad != -1 {
				t.Errorf("%s: the special tokens are %d %d %d %d, added %v %v", name, got.bos, got.eos, got.unk, got.pad, got.AddBOS(), got.AddEOS())
			}
			if got.Size() != len(v.Tokens)-1 || got.Type(n-5) != Unused || got.Type(n-3) != Unknown || got.Type(n-2) != UserDefined {
				t.Errorf("%s: %d ids, types %v", name, got.Size(), got.types[n-5:])
			}
			if dir := os.Getenv("PITH_TOKENIZERS"); dir != "" && i < 4 {
				writeTokenizer(t, filepath.Join(dir, "specials-"+name), file, config)
			}
		}
	}
}

func TestVocabulariesThatJSONCannotExpressAreRefused(t *testing.T) {
	base := func() Vocab {
		v := trained(t, "gpt2.json").Vocab()
		v.Tokens, v.Types = slices.Clone(v.Tokens), slices.Clone(v.Types)
		return v
	}
	for name, c := range map[string]struct {
		want   string
		change func(v *Vocab)
	}{
		"SentencePiece":         {`"llama" is not byte-level`, func(v *Vocab) { *v = trained(t, "sp-bpe-user.model").Vocab() }},
		"Unigram":               {`"t5" is not byte-level`, func(v *Vocab) { *v = trained(t, "sp-unigram.model").Vocab() }},
		"losses":                {"lstrip", func(v *Vocab) { *v = trained(t, "gpt2-prefix-space.json").Vocab() }},
		"unknown pre-tokenizer": {"zzz", func(v *Vocab) { v.Pre = "zzz" }},
		"space and digits":      {"add_space_prefix", func(v *Vocab) { v.Pre, v.AddSpacePrefix = "smollm", true }},
		"space and own pattern": {"add_space_prefix", func(v *Vocab) { v.Pre, v.AddSpacePrefix = "qwen2", true }},
		"not UTF-8":             {"UTF-8", func(v *Vocab) { v.Tokens[2] = "\xff" }},
		"unused BOS":            {"unused", func(v *Vocab) { v.AddBOS, v.BOS, v.Types[0] = true, 0, Unused }},
		"a missing merge":       {"merge 0", func(v *Vocab) { v.Merges = []string{"nothing such"} }},
		"an id out of range":    {"outside", func(v *Vocab) { v.EOS = int32(len(v.Tokens)) }},
		"many unused ids": {"unused", func(v *Vocab) {
			for range maxHoles + 1 {
				v.Tokens, v.Types = append(v.Tokens, ""), append(v.Types, Unused)
			}
			v.Tokens, v.Types = append(v.Tokens, "<last>"), append(v.Types, Control)
		}},
	} {
		v := base()
		c.change(&v)
		if _, _, err := v.JSON(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a byte-level tokenizer.json does beyond the keys of GGUF is among the losses.
func TestSpacesBeforePartsAndUnknownBytesAreLosses(t *testing.T) {
	for want, change := range map[string]func(map[string]any){
		"each part": func(file map[string]any) {
			for _, step := range file["pre_tokenizer"].(map[string]any)["pretokenizers"].([]any) {
				if step := step.(map[string]any); step["type"] == "ByteLevel" {
					step["add_prefix_space"] = true
				}
			}
		},
		"unknown token": func(file map[string]any) {
			model := file["model"].(map[string]any)
			model["unk_token"] = "<s>"
			vocab := model["vocab"].(map[string]any)
			vocab["nothing"] = vocab["Ā"]
			delete(vocab, "Ā")
		},
	} {
		if v := changed(t, "smollm.json", change).Vocab(); len(v.Lost) != 1 || !strings.Contains(v.Lost[0], want) {
			t.Errorf("%s: lost: %q", want, v.Lost)
		}
	}
}

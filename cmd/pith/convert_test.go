package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pith/tokenizer"
)

// byteLevelModel copies one of model's golden models and gives it a byte-level tokenizer of its 96 ids: printable ASCII without capitals, some
// merges and three special tokens, of which the last two ids are padding.
func byteLevelModel(t *testing.T, name, pre string) string {
	t.Helper()
	dir, from := t.TempDir(), filepath.Join("..", "..", "model", "testdata", name)
	for _, file := range []string{"config.json", "model.safetensors"} {
		data, err := os.ReadFile(filepath.Join(from, file))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file), data, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	vocab := map[string]int{"<|bos|>": 0, "<|eos|>": 1, "<|im_start|>": 2}
	put := func(piece string) {
		if _, ok := vocab[piece]; !ok {
			vocab[piece] = len(vocab)
		}
	}
	put("Ġ")
	put("Ċ")
	for c := '!'; c <= '~'; c++ {
		if c < 'A' || c > 'Z' {
			put(string(c))
		}
	}
	merges := []string{"t h", "th e", "Ġ the", "i n", "a n", "e r", "Ġ r", "Ġr a"}
	for _, m := range merges {
		put(strings.ReplaceAll(m, " ", ""))
	}
	if len(vocab) > 94 {
		t.Fatalf("%d tokens", len(vocab))
	}
	var added []map[string]any
	for id, s := range []string{"<|bos|>", "<|eos|>", "<|im_start|>"} {
		added = append(added, map[string]any{"id": id, "content": s, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false})
	}
	byteLevel := map[string]any{"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true}
	file := map[string]any{"version": "1.0", "added_tokens": added, "pre_tokenizer": byteLevel, "decoder": byteLevel,
		"model": map[string]any{"type": "BPE", "vocab": vocab, "merges": merges}}
	if pre != "gpt-2" {
		v, err := tokenizer.FromJSON(mustJSON(t, file), nil)
		if err != nil {
			t.Fatal(err)
		}
		keys := v.Vocab()
		keys.Pre = pre
		text, _, err := keys.JSON()
		if err != nil {
			t.Fatal(err)
		}
		file = nil
		if err := json.Unmarshal(text, &file); err != nil {
			t.Fatal(err)
		}
	}
	writeJSON(t, filepath.Join(dir, "tokenizer.json"), file)
	writeJSON(t, filepath.Join(dir, "tokenizer_config.json"), map[string]any{"add_bos_token": true, "bos_token": "<|bos|>", "eos_token": "<|eos|>", "chat_template": "{{ messages }}"})
	return dir
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestGGUFFilesOfByteLevelModelsBecomeWholeHuggingFaceDirectories(t *testing.T) {
	text := tinyText(t)
	for name, pre := range map[string]string{"gpt2": "gpt-2", "qwen2": "qwen2", "qwen3": "qwen2", "llama": "llama-bpe"} {
		model, out := byteLevelModel(t, name, pre), t.TempDir()
		gguf, hf, artifact, decoded := filepath.Join(out, "m.gguf"), filepath.Join(out, "hf"), filepath.Join(out, "artifact"), filepath.Join(out, "decoded")
		ok(t, "convert", model, "-o", gguf)
		if got := ok(t, "convert", gguf, "--format", "hf", "-o", hf); strings.Contains(got, "tokenizer") {
			t.Errorf("%s: convert printed %s", name, got)
		}
		ok(t, "compress", gguf, "--codec", "f32", "-o", artifact)
		ok(t, "convert", artifact, "--format", "hf", "-o", decoded)
		want, err := tokenizer.OpenDir(model)
		if err != nil {
			t.Fatal(err)
		}
		before := perplexityOf(t, model, text)
		for _, dir := range []string{hf, decoded} {
			if _, err := os.Stat(filepath.Join(dir, "tokenizer.vocab.json")); err == nil {
				t.Errorf("%s: a file of Pith's own is in %s", name, dir)
			}
			got, err := tokenizer.OpenDir(dir)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			o := tokenizer.EncodeOptions{AddSpecial: true, ParseSpecial: true}
			for _, s := range []string{"", "the rain  in\n spain, 1234's <|im_start|>there", "ab c"} {
				if a, b := want.Encode(s, o), got.Encode(s, o); !slices.Equal(a, b) {
					t.Errorf("%s: %q gives %v, %v in the original", name, s, b, a)
				}
			}
			if got.ChatTemplate() != want.ChatTemplate() {
				t.Errorf("%s: the chat template is %q", name, got.ChatTemplate())
			}
			if after := perplexityOf(t, dir, text); after != before {
				t.Errorf("%s: perplexity %v, %v of the original", name, after, before)
			}
		}
	}
}

// perplexityOf four short chunks: the golden models see 32 positions.
func perplexityOf(t *testing.T, model, text string) float64 {
	t.Helper()
	return jsonOf(t, "eval", model, "--text", text, "--ctx", "16", "--chunks", "4")["perplexity"].(float64)
}

func TestConvertSaysWhyATokenizerIsNotWritten(t *testing.T) {
	model, out := byteLevelModel(t, "llama", "qwen2"), t.TempDir()
	gguf := filepath.Join(out, "m.gguf")
	var file map[string]any
	data, err := os.ReadFile(filepath.Join(model, "tokenizer.json"))
	if err == nil {
		err = json.Unmarshal(data, &file)
	}
	if err != nil {
		t.Fatal(err)
	}
	// A space before each part after Qwen's pattern: GGUF makes of it one space in front of the text, which tokenizer.json has no step for.
	steps := file["pre_tokenizer"].(map[string]any)["pretokenizers"].([]any)
	steps[len(steps)-1].(map[string]any)["add_prefix_space"] = true
	writeJSON(t, filepath.Join(model, "tokenizer.json"), file)
	if got := ok(t, "convert", model, "-o", gguf); !strings.Contains(got, "each part") {
		t.Errorf("convert printed %s", got)
	}
	if got := ok(t, "convert", gguf, "--format", "hf", "-o", filepath.Join(out, "hf")); !strings.Contains(got, "the tokenizer is not written") || !strings.Contains(got, "add_space_prefix") {
		t.Errorf("convert printed %s", got)
	}
}

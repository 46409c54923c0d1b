package tokenizer

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// preType is one value of tokenizer.ggml.pre: what it means for a tokenizer.json.
type preType struct {
	names        []string // the first is written, all are read
	steps        []string // pre-tokenizers before the byte-level respelling
	normalizers  []string
	ignoreMerges bool
}

// preTypes follows llama.cpp's table (llama-vocab.cpp, as of 2026). Where several names mean the same, the first is
// written. A normalizer is part of a type only where every model of that type has it.
var preTypes = []preType{
	{names: []string{"gpt-2", "phi-2", "mpt", "olmo", "jais", "jina-es", "jina-de", "jina-v2-es", "jina-v2-de", "gigachat", "mellum", "modern-bert", "trillion", "granite-docling"}, steps: []string{patternGPT2}},
	{names: []string{"llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"}, steps: []string{patternLlama3}, ignoreMerges: true},
	{names: []string{"dbrx", "smaug-bpe", "chatglm-bpe", "glm4"}, steps: []string{patternLlama3}},
	{names: []string{"qwen2", "deepseek-r1-qwen", "stablelm2", "hunyuan", "megrez", "solar-open", "grok-2"}, steps: []string{patternQwen2}, normalizers: []string{"NFC"}},
	{names: []string{"qwen35"}, steps: []string{patternQwen35}, normalizers: []string{"NFC"}},
	{names: []string{"gpt-4o", "llama4", "minimax-m2"}, steps: []string{patternO200K}},
	{names: []string{"tekken"}, steps: []string{patternTekken}, ignoreMerges: true},
	{names: []string{"smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b", "mellum2"}, steps: []string{patternDigit, patternGPT2}},
	{names: []string{"deepseek-v3", "hunyuan-dense", "joyai-llm"}, steps: []string{patternDigits3, patternKana, patternDeep3}},
	{names: []string{"deepseek-coder"}, steps: []string{`[\r\n]`, `\s?\p{L}+`, `\s?\p{P}+`, patternHan, patternDigit}},
}

// preName returns the GGUF name of a pre-tokenizer, "" if there is none; exact is false if only the normalizers or
// ignore_merges are not those of the type.
func preName(steps, normalizers []string, ignoreMerges bool) (name string, exact bool) {
	if n := len(steps); n > 0 && steps[n-1] == "ByteLevel" {
		steps = steps[:n-1]
	}
	steps = slices.DeleteFunc(slices.Clone(steps), func(s string) bool { return s == "PrefixSpace" })
	for i, s := range steps {
		switch s {
		case patternCL100K: // another spelling of the same
			steps[i] = patternLlama3
		case "[\r\n]":
			steps[i] = `[\r\n]`
		}
	}
	for _, p := range preTypes {
		if !slices.Equal(steps, p.steps) {
			continue
		}
		if slices.Equal(normalizers, p.normalizers) && ignoreMerges == p.ignoreMerges {
			return p.names[0], true
		}
		if name == "" {
			name = p.names[0]
		}
	}
	return name, false
}

// build returns the pre-tokenizers of the type, respelling left out, and its normalizers.
func (p *preType) build(addPrefixSpace bool) (pre []preTokenizer, normalizers []normalizer) {
	if addPrefixSpace {
		pre = append(pre, prefixSpace{})
	}
	for _, step := range p.steps {
		pre = append(pre, &splitter{searchWith(matcherFor(step)), "Isolated", false})
	}
	for range p.normalizers { // NFC is the only one in the table
		normalizers = append(normalizers, formNormalizer{norm.NFC})
	}
	return pre, normalizers
}

func findPreType(name string) (*preType, error) {
	var known []string
	for i := range preTypes {
		if slices.Contains(preTypes[i].names, name) {
			return &preTypes[i], nil
		}
		known = append(known, preTypes[i].names[0])
	}
	return nil, fmt.Errorf("the pre-tokenizer %q is not supported: only %s and their like are", name, strings.Join(known, ", "))
}

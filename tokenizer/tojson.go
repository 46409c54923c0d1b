package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// JSON returns the vocabulary as a Hugging Face directory holds it: the texts of tokenizer.json and tokenizer_config.json. FromJSON makes of them
// a tokenizer with the ids of FromVocab, and Hugging Face tokenizers does the same. Only byte-level BPE (model "gpt2") has this form here;
// SentencePiece vocabularies are exact as tokenizer.model. The error says what these files cannot express. The same vocabulary gives the same bytes.
//
// Ids of type unused have no entry: no text can give them, and padding rows of an embedding are such.
func (v Vocab) JSON() (tokenizerJSON, tokenizerConfig []byte, err error) {
	if v.Model != "gpt2" {
		return nil, nil, fmt.Errorf("a vocabulary of GGUF model %q is not byte-level BPE, and has no exact tokenizer.json", v.Model)
	}
	if len(v.Lost) > 0 {
		return nil, nil, fmt.Errorf("the vocabulary does not hold all of its tokenizer: %s", strings.Join(v.Lost, "; "))
	}
	if _, err := fromVocab(&v); err != nil { // checks everything, and names empty tokens
		return nil, nil, err
	}
	file, err := v.jsonFile()
	if err != nil {
		return nil, nil, err
	}
	if tokenizerJSON, err = marshalPlain(file); err != nil {
		return nil, nil, err
	}
	tokenizerConfig, err = marshalPlain(v.jsonConfig())
	return tokenizerJSON, tokenizerConfig, err
}

// object is one step of a tokenizer.json; its keys are written in alphabetical order.
type object = map[string]any

// jsonFile has the fields of tokenizer.json in the order that Hugging Face tokenizers writes them.
type jsonFile struct {
	Version       string       `json:"version"`
	Truncation    *struct{}    `json:"truncation"`
	Padding       *struct{}    `json:"padding"`
	Added         []addedToken `json:"added_tokens"`
	Normalizer    any          `json:"normalizer"`
	PreTokenizer  any          `json:"pre_tokenizer"`
	PostProcessor any          `json:"post_processor"`
	Decoder       any          `json:"decoder"`
	Model         jsonBPE      `json:"model"`
}

// jsonBPE is the model of a byte-level tokenizer.json. Merges are strings, which every version of the library reads.
type jsonBPE struct {
	Type         string    `json:"type"`
	Dropout      *float64  `json:"dropout"`
	UnkToken     *string   `json:"unk_token"`
	SubPrefix    *string   `json:"continuing_subword_prefix"`
	WordSuffix   *string   `json:"end_of_word_suffix"`
	FuseUnk      bool      `json:"fuse_unk"`
	ByteFallback bool      `json:"byte_fallback"`
	IgnoreMerges bool      `json:"ignore_merges"`
	Vocab        pieceList `json:"vocab"`
	Merges       []string  `json:"merges"`
}

// pieceList is an object piece → id, written in the order of the ids.
type pieceList []pieceID

type pieceID struct {
	piece string
	id    int
}

func (l pieceList) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, p := range l {
		if i > 0 {
			b = append(b, ',')
		}
		key, err := marshalPlain(p.piece)
		if err != nil {
			return nil, err
		}
		b = fmt.Appendf(append(b, bytes.TrimSuffix(key, []byte{'\n'})...), ":%d", p.id)
	}
	return append(b, '}'), nil
}

// jsonFile: v has been checked.
func (v *Vocab) jsonFile() (*jsonFile, error) {
	pre, err := findPreType(v.Pre)
	if err != nil {
		return nil, err
	}
	f := &jsonFile{Version: "1.0", Added: []addedToken{}, Decoder: byteLevelStep(true, true), PostProcessor: v.jsonPostProcessor(),
		Model: jsonBPE{Type: "BPE", IgnoreMerges: pre.ignoreMerges, Merges: v.Merges}}
	if f.PreTokenizer, err = pre.json(v.AddSpacePrefix); err != nil {
		return nil, err
	}
	if len(pre.normalizers) > 0 {
		f.Normalizer = object{"type": pre.normalizers[0]} // NFC is the only one in the table
	}
	for id, piece := range v.Tokens {
		kind := v.Types[id]
		if kind == Unused {
			continue
		}
		if !utf8.ValidString(piece) {
			return nil, fmt.Errorf("token %d (%q) is not UTF-8, which JSON cannot hold", id, piece)
		}
		// Added tokens stand among the pieces too: so they keep their ids whatever is left out.
		f.Model.Vocab = append(f.Model.Vocab, pieceID{piece, id})
		if kind == Unknown || kind == Control || kind == UserDefined {
			f.Added = append(f.Added, addedToken{ID: int32(id), Content: piece, Special: kind != UserDefined})
		}
	}
	if v.AddBOS && v.Types[v.BOS] == Unused || v.AddEOS && v.Types[v.EOS] == Unused {
		return nil, errors.New("BOS or EOS is to be added, but is of type unused")
	}
	if n := len(f.Model.Vocab); n == 0 || f.Model.Vocab[n-1].id-n >= maxHoles {
		return nil, fmt.Errorf("more than %d ids of type unused stand between the others", maxHoles)
	}
	if v.UNK >= 0 && v.Types[v.UNK] == Unknown && f.Model.Vocab.hasEveryByte() {
		f.Model.UnkToken = &v.Tokens[v.UNK] // never made from text then, but decoded like one; without every byte it would be made
	}
	return f, nil
}

func (l pieceList) hasEveryByte() bool {
	missing := make(map[string]bool, 256)
	for _, spelling := range byteLevelAlphabet() {
		missing[spelling] = true
	}
	for _, p := range l {
		delete(missing, p.piece)
	}
	return len(missing) == 0
}

// json returns the pre-tokenizers as a tokenizer.json spells them.
func (p *preType) json(addPrefixSpace bool) (any, error) {
	steps, ownPattern := p.steps, false
	if n := len(steps); steps[n-1] == patternGPT2 {
		steps, ownPattern = steps[:n-1], true // ByteLevel's own
	}
	if addPrefixSpace && (len(steps) > 0 || !ownPattern) {
		return nil, fmt.Errorf("a space in front (add_space_prefix) before the pre-tokenizer %s cuts has no form in tokenizer.json", p.names[0])
	}
	var list []object
	for _, step := range steps {
		if step == patternDigit {
			list = append(list, object{"type": "Digits", "individual_digits": true})
			continue
		}
		list = append(list, object{"type": "Split", "pattern": object{"Regex": step}, "behavior": "Isolated", "invert": false})
	}
	list = append(list, byteLevelStep(addPrefixSpace, ownPattern))
	if len(list) == 1 {
		return list[0], nil
	}
	return object{"type": "Sequence", "pretokenizers": list}, nil
}

func byteLevelStep(addPrefixSpace, useRegex bool) object {
	return object{"type": "ByteLevel", "add_prefix_space": addPrefixSpace, "trim_offsets": true, "use_regex": useRegex}
}

// jsonPostProcessor adds BOS and EOS to each text.
func (v *Vocab) jsonPostProcessor() any {
	offsets := object{"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true}
	if !v.AddBOS && !v.AddEOS {
		return offsets
	}
	special := object{}
	text := func(name string, kind int) (list []object) {
		around := func(id int32) {
			piece := v.Tokens[id]
			special[piece] = object{"id": piece, "ids": []int32{id}, "tokens": []string{piece}}
			list = append(list, object{"SpecialToken": object{"id": piece, "type_id": kind}})
		}
		if v.AddBOS {
			around(v.BOS)
		}
		list = append(list, object{"Sequence": object{"id": name, "type_id": kind}})
		if v.AddEOS {
			around(v.EOS)
		}
		return list
	}
	single := text("A", 0)
	return object{"type": "Sequence", "processors": []object{offsets,
		{"type": "TemplateProcessing", "single": single, "pair": append(text("A", 0), text("B", 1)...), "special_tokens": special}}}
}

// jsonConfig is tokenizer_config.json. The class is the one that takes tokenizer.json as it is; those named after a model rebuild parts of it.
// What there is not is null, so that no class puts its own default there.
func (v *Vocab) jsonConfig() object {
	config := object{"tokenizer_class": "PreTrainedTokenizerFast", "add_bos_token": v.AddBOS, "add_eos_token": v.AddEOS,
		"add_prefix_space": v.AddSpacePrefix, "clean_up_tokenization_spaces": false}
	for name, id := range map[string]int32{"bos_token": v.BOS, "eos_token": v.EOS, "unk_token": v.UNK, "pad_token": v.PAD} {
		if config[name] = nil; id >= 0 && v.Types[id] != Unused {
			config[name] = v.Tokens[id]
		}
	}
	if v.ChatTemplate != "" {
		config["chat_template"] = v.ChatTemplate
	}
	return config
}

// marshalPlain indents by two spaces, leaves <, > and & as they are, and ends the line.
func marshalPlain(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

package interop

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"pith/tokenizer"
)

// TokenizerFiles returns the tokenizer files of a Hugging Face directory: tokenizer.model for a SentencePiece vocabulary (llama or t5),
// tokenizer.json for a byte-level one (gpt2), and tokenizer_config.json. The error says what they cannot express.
func TokenizerFiles(v tokenizer.Vocab) (map[string][]byte, error) {
	switch v.Model {
	case "llama", "t5":
		return sentencePieceFiles(v)
	case "gpt2":
		file, config, err := v.JSON()
		if err != nil {
			return nil, err
		}
		return map[string][]byte{"tokenizer.json": file, "tokenizer_config.json": config}, nil
	}
	return nil, fmt.Errorf("a tokenizer of GGUF model %q has no Hugging Face form", v.Model)
}

// sentencePieceFiles: tokenizer.model is a protocol buffer, ModelProto of sentencepiece_model.proto (github.com/google/sentencepiece).
func sentencePieceFiles(v tokenizer.Vocab) (map[string][]byte, error) {
	var model []byte
	for id, piece := range v.Tokens {
		p := protoBytes(nil, 1, []byte(piece))
		p = binary.LittleEndian.AppendUint32(append(p, 2<<3|5), math.Float32bits(v.Scores[id]))
		model = protoBytes(model, 1, protoInt(p, 3, int64(v.Types[id])))
	}
	kind := int64(2) // BPE
	if v.Model == "t5" {
		kind = 1 // Unigram
	}
	trainer := protoInt(protoInt(nil, 3, kind), 4, int64(len(v.Tokens)))
	trainer = protoInt(trainer, 35, truth(slices.Contains(v.Types, tokenizer.Byte)))
	for i, id := range []int32{v.UNK, v.BOS, v.EOS, v.PAD} {
		trainer = protoInt(trainer, 40+i, int64(id))
	}
	normalizer := protoBytes(nil, 1, []byte("identity"))
	if len(v.PrecompiledCharsmap) > 0 {
		normalizer = protoBytes(normalizer, 2, v.PrecompiledCharsmap)
	}
	for i, b := range []bool{v.AddSpacePrefix, v.RemoveExtraWhitespaces, true} { // the last: spaces are escaped
		normalizer = protoInt(normalizer, 3+i, truth(b))
	}
	model = protoBytes(protoBytes(model, 2, trainer), 3, normalizer)

	config := map[string]any{"tokenizer_class": "LlamaTokenizer", "legacy": true, "add_bos_token": v.AddBOS, "add_eos_token": v.AddEOS, "clean_up_tokenization_spaces": false}
	for name, id := range map[string]int32{"bos_token": v.BOS, "eos_token": v.EOS, "unk_token": v.UNK, "pad_token": v.PAD} {
		if id >= 0 && int(id) < len(v.Tokens) {
			config[name] = v.Tokens[id]
		}
	}
	if v.ChatTemplate != "" {
		config["chat_template"] = v.ChatTemplate
	}
	text, err := json.MarshalIndent(config, "", "  ")
	return map[string][]byte{"tokenizer.model": model, "tokenizer_config.json": text}, err
}

// protoInt appends a varint field; protoBytes a length-delimited one.
func protoInt(b []byte, field int, v int64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(field)<<3), uint64(v))
}

func protoBytes(b []byte, field int, v []byte) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(field)<<3|2), uint64(len(v)))
	return append(b, v...)
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

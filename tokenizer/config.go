package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// config is what is used of tokenizer_config.json.
type config struct {
	addBOS, addEOS     *bool  // nil: not said
	bos, eos, unk, pad string // pieces, "" if not said
	bosID, eosID       *int32 // from config.json, where the pieces are not said
	chatTemplate       string
	added              map[int32]addedToken // added_tokens_decoder
}

// specialName reads "<s>" or {"content": "<s>", …}.
type specialName string

func (s *specialName) UnmarshalJSON(b []byte) error {
	var object struct{ Content string }
	if len(b) > 0 && b[0] == '{' {
		err := json.Unmarshal(b, &object)
		*s = specialName(object.Content)
		return err
	}
	var plain *string
	if err := json.Unmarshal(b, &plain); err != nil {
		return err
	}
	if plain != nil {
		*s = specialName(*plain)
	}
	return nil
}

func parseConfig(b []byte) (*config, error) {
	c := &config{}
	if len(b) == 0 {
		return c, nil
	}
	var raw struct {
		AddBOS       *bool                 `json:"add_bos_token"`
		AddEOS       *bool                 `json:"add_eos_token"`
		BOS          specialName           `json:"bos_token"`
		EOS          specialName           `json:"eos_token"`
		UNK          specialName           `json:"unk_token"`
		PAD          specialName           `json:"pad_token"`
		Added        map[string]addedToken `json:"added_tokens_decoder"`
		ChatTemplate json.RawMessage       `json:"chat_template"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, fmt.Errorf("tokenizer_config.json: %w", err)
	}
	c.addBOS, c.addEOS = raw.AddBOS, raw.AddEOS
	c.bos, c.eos, c.unk, c.pad = string(raw.BOS), string(raw.EOS), string(raw.UNK), string(raw.PAD)
	c.added = make(map[int32]addedToken, len(raw.Added))
	for key, tok := range raw.Added {
		id, err := strconv.ParseInt(key, 10, 32)
		if err != nil || id < 0 {
			return nil, fmt.Errorf("tokenizer_config.json: added_tokens_decoder: %q is not a token id", key)
		}
		tok.ID = int32(id)
		c.added[tok.ID] = tok
	}
	c.chatTemplate = chatTemplate(raw.ChatTemplate)
	return c, nil
}

// chatTemplate is a string, or a list of named templates of which "default" is taken.
func chatTemplate(b json.RawMessage) string {
	var one string
	if json.Unmarshal(b, &one) == nil {
		return one
	}
	var many []struct{ Name, Template string }
	if json.Unmarshal(b, &many) == nil {
		for _, t := range many {
			if t.Name == "default" {
				return t.Template
			}
		}
	}
	return ""
}

// OpenDir reads the tokenizer of a Hugging Face model directory: tokenizer.json, else tokenizer.model, with
// tokenizer_config.json, special_tokens_map.json, config.json and chat_template.jinja where present.
func OpenDir(dir string) (*Tokenizer, error) {
	read := func(name string) ([]byte, error) {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, os.ErrNotExist) {
			return nil, nil
		}
		return b, err
	}
	files := make(map[string][]byte)
	for _, name := range []string{"tokenizer.json", "tokenizer.model", "tokenizer_config.json", "special_tokens_map.json",
		"config.json", "chat_template.jinja"} {
		b, err := read(name)
		if err != nil {
			return nil, err
		}
		files[name] = b
	}
	return FromFiles(dir, files)
}

// FromFiles is OpenDir of files in memory, by their names without directory. dir is where they are from, for errors.
func FromFiles(dir string, files map[string][]byte) (*Tokenizer, error) {
	cfg, err := parseConfig(files["tokenizer_config.json"])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if err := cfg.complete(files); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	switch {
	case files["tokenizer.json"] != nil:
		t, err := newFromJSON(files["tokenizer.json"], cfg)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "tokenizer.json"), err)
		}
		return t, nil
	case files["tokenizer.model"] != nil:
		m, err := readSentencePiece(files["tokenizer.model"])
		if err == nil {
			var t *Tokenizer
			if t, err = newSentencePiece(m, cfg); err == nil {
				return t, nil
			}
		}
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, "tokenizer.model"), err)
	}
	return nil, fmt.Errorf("%s: neither tokenizer.json nor tokenizer.model is there; copy the tokenizer's files from the original model", dir)
}

// complete takes what tokenizer_config.json does not say from the files beside it.
func (c *config) complete(files map[string][]byte) error {
	if b := files["special_tokens_map.json"]; b != nil {
		var m struct {
			BOS specialName `json:"bos_token"`
			EOS specialName `json:"eos_token"`
			UNK specialName `json:"unk_token"`
			PAD specialName `json:"pad_token"`
		}
		if err := json.Unmarshal(b, &m); err != nil {
			return fmt.Errorf("special_tokens_map.json: %w", err)
		}
		for _, f := range []struct {
			to   *string
			from specialName
		}{{&c.bos, m.BOS}, {&c.eos, m.EOS}, {&c.unk, m.UNK}, {&c.pad, m.PAD}} {
			if *f.to == "" {
				*f.to = string(f.from)
			}
		}
	}
	if b := files["config.json"]; b != nil {
		var m struct {
			BOS json.RawMessage `json:"bos_token_id"`
			EOS json.RawMessage `json:"eos_token_id"`
		}
		if err := json.Unmarshal(b, &m); err != nil {
			return fmt.Errorf("config.json: %w", err)
		}
		c.bosID, c.eosID = firstID(m.BOS), firstID(m.EOS)
	}
	if b := files["chat_template.jinja"]; b != nil {
		c.chatTemplate = string(b)
	}
	return nil
}

// firstID reads an id or the first of a list of ids; nil if there is none.
func firstID(b json.RawMessage) *int32 {
	var one *int32
	if json.Unmarshal(b, &one) == nil {
		return one
	}
	var many []int32
	if json.Unmarshal(b, &many) == nil && len(many) > 0 {
		return &many[0]
	}
	return nil
}

// applyConfig sets the special ids and what AddSpecial adds. addBOS and addEOS are the model's own defaults; nil keeps
// what the post-processor says.
func (t *Tokenizer) applyConfig(c *config, addBOS, addEOS *bool) error {
	for _, f := range []struct {
		to    *int32
		piece string
		id    *int32
		name  string
	}{{&t.bos, c.bos, c.bosID, "bos_token"}, {&t.eos, c.eos, c.eosID, "eos_token"}, {&t.unk, c.unk, nil, "unk_token"}, {&t.pad, c.pad, nil, "pad_token"}} {
		if f.piece != "" {
			id, ok := t.ids[f.piece]
			if !ok {
				if f.name == "pad_token" || f.name == "unk_token" {
					continue
				}
				return fmt.Errorf("tokenizer_config.json: %s %q is not in the vocabulary", f.name, f.piece)
			}
			*f.to = id
		} else if *f.to < 0 && f.id != nil && *f.id >= 0 && int(*f.id) < len(t.tokens) {
			*f.to = *f.id
		}
	}
	if c.addBOS != nil {
		addBOS = c.addBOS
	}
	if c.addEOS != nil {
		addEOS = c.addEOS
	}
	if addBOS != nil && *addBOS != t.AddBOS() {
		switch {
		case !*addBOS:
			t.prefix = t.prefix[1:]
		case t.bos >= 0:
			t.prefix = append([]int32{t.bos}, t.prefix...)
		}
	}
	if addEOS != nil && *addEOS != t.AddEOS() {
		switch {
		case !*addEOS:
			t.suffix = t.suffix[:len(t.suffix)-1]
		case t.eos >= 0:
			t.suffix = append(t.suffix, t.eos)
		}
	}
	t.chatTemplate = c.chatTemplate
	return nil
}

package compress

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"pith/checkpoint"
	"pith/formats/interop"
	"pith/model"
	"pith/tensor"
)

// ConvertOptions say what Convert writes.
type ConvertOptions struct {
	Format    string       // "gguf": one file; "hf": a Hugging Face directory
	DType     tensor.DType // F32, F16 or BF16 for every dense matrix; Invalid: as stored where the format can hold it
	Overwrite bool
	Warn      func(string) // told what the other format holds differently; may be nil
}

// Convert writes a checkpoint in another container, weights unchanged unless o.DType asks for it; weights that the container has no layout for
// are decoded. It returns the path of the weights and their size.
func Convert(ckpt *checkpoint.Checkpoint, out string, o ConvertOptions) (path string, bytes int64, err error) {
	switch o.Format {
	case "gguf":
		path, err = convertGGUF(ckpt, out, o)
	case "hf":
		path, err = convertHF(ckpt, out, o)
	default:
		err = fmt.Errorf("format %q: choose gguf or hf", o.Format)
	}
	if err != nil {
		return "", 0, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", 0, err
	}
	return path, info.Size(), nil
}

func convertGGUF(ckpt *checkpoint.Checkpoint, out string, o ConvertOptions) (string, error) {
	path := ggufPath(out)
	if err := checkGGUFModel(ckpt); err != nil {
		return "", err
	}
	if err := checkNotSourceFile(path, ckpt); err != nil {
		return "", err
	}
	if err := checkFree(path, o.Overwrite); err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return "", writeError(filepath.Dir(path), err)
	}
	if err := warnDecoded(ckpt, o); err != nil {
		return "", err
	}
	return path, writeGGUF(ckpt, path, interop.GGUFOptions{Dense: o.DType, Dequantize: true, Warn: o.Warn})
}

// warnDecoded tells how many matrices grow because GGUF has no layout for their codec; --dtype asked for that, so then it is no news.
func warnDecoded(ckpt *checkpoint.Checkpoint, o ConvertOptions) error {
	if o.Warn == nil || o.DType != tensor.Invalid {
		return nil
	}
	n, example := 0, ""
	for _, name := range ckpt.Names() {
		info, err := ckpt.Info(name)
		if err != nil {
			return err
		}
		if !inGGUF(info.Codec) {
			n, example = n+1, info.Codec
		}
	}
	if n > 0 {
		o.Warn(fmt.Sprintf("GGUF has no layout for %s: %d matrices are decoded to f16; to keep the file small, compress the original with a codec of GGML such as q4_k", example, n))
	}
	return nil
}

func convertHF(ckpt *checkpoint.Checkpoint, out string, o ConvertOptions) (string, error) {
	if err := checkNoShortcuts(ckpt); err != nil {
		return "", err
	}
	config := ckpt.ConfigJSON()
	if config == nil {
		return "", fmt.Errorf("%s: has no config.json, which a Hugging Face directory needs; copy it beside the weights", ckpt.Path)
	}
	path := filepath.Join(out, "model.safetensors")
	if err := checkFree(path, o.Overwrite); err != nil {
		return "", err
	}
	if err := checkNotSource(out, ckpt); err != nil {
		return "", err
	}
	files, err := hfFiles(ckpt, o.Warn)
	if err != nil {
		return "", err
	}
	return path, interop.ExportHF(out, config, ckpt, interop.HFOptions{Dense: o.DType, Files: files})
}

// checkGGUFModel refuses a model that GGUF has no words for.
func checkGGUFModel(ckpt *checkpoint.Checkpoint) error {
	if cfg, err := ckpt.Config(); err == nil && cfg.DraftVocab > 0 {
		return fmt.Errorf("%s: the head is trimmed for drafting (draft_vocab_size %d), which llama.cpp loads for no architecture that pith writes; keep it as a Pith artifact or a Hugging Face directory", ckpt.Path, cfg.DraftVocab)
	}
	return checkNoShortcuts(ckpt)
}

// checkNoShortcuts refuses a model that other formats and programs have no words for.
func checkNoShortcuts(ckpt *checkpoint.Checkpoint) error {
	if cfg, err := ckpt.Config(); err == nil && cfg.HasShortcuts() {
		return fmt.Errorf("%s: %w; write a Pith artifact, or make the model without them (--slice with --shared-basis, --drop-layers with --replace mean)", ckpt.Path, model.ErrShortcuts)
	}
	return nil
}

// hfFiles returns the files of a Hugging Face directory besides weights and config.json: those of the checkpoint, or, where it comes from a GGUF
// file, the tokenizer's made from its vocabulary.
func hfFiles(ckpt *checkpoint.Checkpoint, warn func(string)) (map[string][]byte, error) {
	files := map[string][]byte{}
	contents, err := ckpt.ConfigContents()
	if err != nil {
		return nil, err
	}
	for _, f := range contents {
		if f.Name != "config.json" && f.Name != checkpoint.VocabName {
			files[f.Name] = f.Data
		}
	}
	for _, name := range []string{"tokenizer.json", "tokenizer.model", "vocab.json"} {
		if files[name] != nil {
			return files, nil
		}
	}
	tok, err := ckpt.Tokenizer()
	if err == nil {
		var made map[string][]byte
		if made, err = interop.TokenizerFiles(tok.Vocab()); err == nil {
			maps.Copy(files, made)
		}
	}
	if err != nil && warn != nil {
		warn(fmt.Sprintf("the tokenizer is not written (%v): copy its files from the original model", err))
	}
	return files, nil
}

// ggufPath returns the file that an output name means: itself if it ends in .gguf, else model.gguf in that directory.
func ggufPath(out string) string {
	if filepath.Ext(out) == ".gguf" {
		return out
	}
	return filepath.Join(out, "model.gguf")
}

// checkNotSourceFile refuses to replace a file of the checkpoint that is being read.
func checkNotSourceFile(path string, ckpt *checkpoint.Checkpoint) error {
	out, err := os.Stat(path)
	if err != nil {
		return nil // not there: no conflict
	}
	for _, file := range ckpt.Files() {
		if src, err := os.Stat(file); err == nil && os.SameFile(out, src) {
			return fmt.Errorf("%s: is the checkpoint itself; choose another output", path)
		}
	}
	return nil
}

// checkFree refuses to replace a file unless that was asked for.
func checkFree(path string, overwrite bool) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) || overwrite {
		return nil
	} else if err != nil {
		return writeError(filepath.Dir(path), err)
	}
	return fmt.Errorf("%s: exists already: choose another output, or --overwrite", path)
}

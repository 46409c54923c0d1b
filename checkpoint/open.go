package checkpoint

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"pith/formats"
)

// maxConfig bounds config.json; real ones have a few KB.
const maxConfig = 16 << 20

func openDir(dir string) (*Checkpoint, error) {
	exists := func(name string) bool { _, err := os.Stat(filepath.Join(dir, name)); return err == nil }
	isArtifact := exists(ManifestName)
	if !isArtifact && exists(PlanName) {
		return nil, fmt.Errorf("%s: compression was not finished here; run the same pith compress again, it resumes", dir)
	}
	if isArtifact {
		if _, err := ReadManifest(dir); err != nil {
			return nil, err
		}
	} else if gguf, err := checkDir(dir); err != nil {
		return nil, err
	} else if gguf != "" {
		return openFile(gguf)
	}
	src, err := formats.OpenSafetensors(dir)
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{Path: dir, Kind: HuggingFace, store: &plain{src}, dir: dir}
	if isArtifact {
		a, err := newArtifact(dir, src, src.Metadata())
		if err != nil {
			src.Close()
			return nil, err
		}
		c.Kind, c.store = Artifact, a
	}
	if err := c.readConfig(); err != nil {
		src.Close()
		return nil, err
	}
	return c, nil
}

// checkDir looks at a directory that is no artifact. If it holds no safetensors but one GGUF model (a single file, or the parts of a split
// one), checkDir returns that file, the first part; if it holds neither, an error says what it holds instead, and what to do.
func checkDir(dir string) (gguf string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", fmt.Errorf("open checkpoint: %w", err)
	}
	var pickle string
	models := 0
	for _, e := range entries {
		switch ext := strings.ToLower(filepath.Ext(e.Name())); {
		case ext == ".safetensors" || e.Name() == "model.safetensors.index.json":
			return "", nil
		case ext == ".gguf":
			if laterPart.MatchString(e.Name()) {
				continue
			}
			models++
			gguf = filepath.Join(dir, e.Name())
		case isPickleName(e.Name()) && pickle == "":
			pickle = e.Name()
		}
	}
	switch {
	case models == 1:
		return gguf, nil
	case models > 1:
		return "", fmt.Errorf("%s: holds %d GGUF models; give one of the files, such as %s", dir, models, gguf)
	case pickle != "":
		return "", pickleError(filepath.Join(dir, pickle))
	case len(entries) == 0:
		return "", fmt.Errorf("%s: the directory is empty; give a directory with model.safetensors and config.json", dir)
	}
	return "", fmt.Errorf("%s: holds no .safetensors file; give a directory with model.safetensors and config.json", dir)
}

// laterPart matches the parts of a split GGUF model but the first.
var laterPart = regexp.MustCompile(`-(0000[2-9]|000[1-9]\d|00[1-9]\d\d|0[1-9]\d{3}|[1-9]\d{4})-of-\d{5}\.gguf$`)

func isPickleName(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".bin", ".pt", ".pth", ".ckpt", ".pkl":
		return true
	}
	return false
}

func pickleError(path string) error {
	return fmt.Errorf("%s: is a PyTorch pickle, which can run code when it is loaded, so pith does not read it; convert it to safetensors first (transformers: save_pretrained(dir, safe_serialization=True))", path)
}

func openFile(path string) (*Checkpoint, error) {
	head, err := readHead(path)
	if err != nil {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte("GGUF")):
		return openGGUF(path)
	case bytes.HasPrefix(head, []byte(stackMagic)):
		return openStackFile(path)
	case filepath.Base(path) == ManifestName, strings.HasSuffix(path, ".safetensors.index.json"):
		return openDir(filepath.Dir(path))
	case strings.ToLower(filepath.Ext(path)) == ".safetensors":
	case isPickleName(path) || bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte{0x80, 2}):
		return nil, pickleError(path)
	case len(head) >= 9 && head[8] == '{': // a safetensors header
	default:
		return nil, fmt.Errorf("%s: is neither safetensors nor GGUF nor a stack; give a Hugging Face directory, a .safetensors, .gguf or .pithstack file, or a Pith artifact", path)
	}
	src, err := formats.OpenSafetensors(path)
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(path)
	c := &Checkpoint{Path: path, Kind: Safetensors, store: &plain{src}, dir: dir}
	for _, name := range src.Names() {
		if strings.Contains(name, "|") {
			src.Close()
			return nil, fmt.Errorf("%s: is one shard of a Pith artifact; give the directory %s", path, dir)
		}
	}
	if err := c.readConfig(); err != nil {
		src.Close()
		return nil, err
	}
	return c, nil
}

func readHead(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	defer f.Close()
	head := make([]byte, 16)
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if n == 0 {
		return nil, fmt.Errorf("%s: the file is empty; download or copy it again", path)
	}
	return head[:n], nil
}

// readConfig reads config.json if there is one.
func (c *Checkpoint) readConfig() error {
	data, err := readBounded(filepath.Join(c.dir, "config.json"), maxConfig)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	c.configJSON = data
	return err
}

package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// configFiles are copied into an artifact next to the weights when a checkpoint has them.
var configFiles = [...]string{"config.json", "generation_config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json",
	"special_tokens_map.json", "added_tokens.json", "vocab.json", "merges.txt", VocabMapName, "chat_template.jinja", "chat_template.json", VocabName}

// IsConfigFile reports whether a file of this name is copied into artifacts.
func IsConfigFile(name string) bool { return slices.Contains(configFiles[:], name) }

// ConfigFiles returns the paths of the checkpoint's config and tokenizer files.
func (c *Checkpoint) ConfigFiles() []string {
	var files []string
	if c.dir == "" || c.Stack() != nil {
		return nil
	}
	for _, name := range configFiles {
		path := filepath.Join(c.dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			files = append(files, path)
		}
	}
	return files
}

// ConfigContent is a config or tokenizer file's name, without directory, and bytes.
type ConfigContent struct {
	Name string
	Data []byte
}

// ConfigContents returns what an artifact of this checkpoint holds besides weights.
func (c *Checkpoint) ConfigContents() ([]ConfigContent, error) {
	if c.files != nil {
		return append([]ConfigContent{{"config.json", c.configJSON}}, c.files...), nil
	}
	if g, ok := c.source().(*gguf); ok {
		all, err := g.configContents()
		return c.withConfig(all), err
	}
	if s := c.Stack(); s != nil {
		all, err := s.contents()
		return c.withConfig(all), err
	}
	var all []ConfigContent
	for _, path := range c.ConfigFiles() {
		data, err := readBounded(path, maxManifest)
		if err != nil {
			return nil, fmt.Errorf("copy: %w", err)
		}
		all = append(all, ConfigContent{filepath.Base(path), data})
	}
	return c.withConfig(all), nil
}

// Digests returns the sha256 of every weight, config and tokenizer file, in that order. It reads all of them.
func (c *Checkpoint) Digests(ctx context.Context) ([]FileDigest, error) {
	var all []FileDigest
	for _, path := range append(c.Files(), c.ConfigFiles()...) {
		d, err := DigestFile(ctx, path)
		if err != nil {
			return nil, err
		}
		all = append(all, d)
	}
	return all, nil
}

// DigestFile returns the length and sha256 of a file.
func DigestFile(ctx context.Context, path string) (FileDigest, error) {
	f, err := os.Open(path)
	if err != nil {
		return FileDigest{}, fmt.Errorf("digest: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	buf := make([]byte, 1<<18)
	var total int64
	for {
		if err := ctx.Err(); err != nil {
			return FileDigest{}, err
		}
		n, err := f.Read(buf)
		h.Write(buf[:n])
		total += int64(n)
		if err == io.EOF {
			break
		}
		if err != nil {
			return FileDigest{}, fmt.Errorf("digest: %w", err)
		}
	}
	return FileDigest{Name: filepath.Base(path), Bytes: total, SHA256: hex.EncodeToString(h.Sum(nil))}, nil
}

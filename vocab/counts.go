// Package vocab finds out which tokens a domain needs and leaves out the others: it counts tokens over texts or over what models generate,
// selects a closed set of them, and makes the view of a checkpoint that has only those, with its tokenizer (lm-vocab-trimmer: Ushio et al. 2023,
// arXiv 2305.15020), or only the head of a draft model (FR-Spec: Zhao et al. 2025, arXiv 2502.14856; VocabTrim: Goel et al. 2025, arXiv 2506.22694).
package vocab

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"

	"pith/formats"
	"pith/tensor"
	"pith/tokenizer"
)

// Counts says how often each token of a tokenizer was seen.
type Counts struct {
	Tokenizer string   // digest; see Digest
	Of        []uint64 // by id
	Sources   []Source
}

// Source is one thing that was counted.
type Source struct {
	Kind   string `json:"kind"`   // "text", "generated" by the model itself, or "drafted" by a smaller one
	SHA256 string `json:"sha256"` // of the text, or of the prompts
	Bytes  int64  `json:"bytes"`
	Tokens uint64 `json:"tokens"`
	Seed   uint64 `json:"seed,omitempty"` // of what was generated
}

// NewCounts returns counts of nothing.
func NewCounts(t *tokenizer.Tokenizer) *Counts {
	return &Counts{Tokenizer: Digest(t), Of: make([]uint64, t.Size())}
}

// Digest identifies a tokenizer by its tokens and their types: two with the same digest number the same tokens alike.
func Digest(t *tokenizer.Tokenizer) string {
	h := sha256.New()
	for id := range int32(t.Size()) {
		b := t.TokenBytes(id)
		fmt.Fprintf(h, "%d %d ", t.Type(id), len(b))
		h.Write(b)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Tokens is how many tokens were counted.
func (c *Counts) Tokens() (n uint64) {
	for _, v := range c.Of {
		n += v
	}
	return n
}

// Merge adds other's counts, which must be of the same tokenizer.
func (c *Counts) Merge(other *Counts) error {
	if c.Tokenizer != other.Tokenizer || len(c.Of) != len(other.Of) {
		return errors.New("the counts are of different tokenizers; count again with the model's own")
	}
	for id, n := range other.Of {
		c.Of[id] += n
	}
	c.Sources = append(c.Sources, other.Sources...)
	return nil
}

// Check returns an error unless the counts are t's.
func (c *Counts) Check(t *tokenizer.Tokenizer) error {
	if c.Tokenizer != Digest(t) || len(c.Of) != t.Size() {
		return errors.New("the counts are of another tokenizer than the model's; count again with pith vocab count on this model")
	}
	return nil
}

const (
	countsName   = "counts"
	countsKind   = "pith.kind"
	countsOf     = "vocab-counts"
	maxCounts    = 1 << 24 // tokens of a vocabulary
	maxSourceRow = 1 << 16 // sources of a file
)

// CheckOutput checks that counts may be written to path: nothing is there yet, or counts. A model or a text that was named by mistake is not replaced.
func CheckOutput(path string) error {
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if _, err := openCounts(path); err != nil {
		return fmt.Errorf("%s: will not replace what is no counts of tokens; choose another output", path)
	}
	return nil
}

// Save writes the counts to path (CheckOutput), atomically: safetensors with the U64 tensor "counts" and what was counted as metadata
// (docs/formats/vocab.md).
func (c *Counts) Save(path string) error {
	if err := CheckOutput(path); err != nil {
		return err
	}
	sources, err := json.Marshal(c.Sources)
	if err != nil {
		return err
	}
	data := make([]byte, 8*len(c.Of))
	for id, n := range c.Of {
		binary.LittleEndian.PutUint64(data[8*id:], n)
	}
	info := formats.Info{Name: countsName, DType: tensor.U64, Shape: []int{len(c.Of)}}
	return formats.WriteSafetensors(path, []formats.LazyTensor{{Info: info, Write: func(to io.Writer) error {
		_, err := to.Write(data)
		return err
	}}}, map[string]string{countsKind: countsOf, "tokenizer": c.Tokenizer, "sources": string(sources), "tokens": strconv.FormatUint(c.Tokens(), 10)})
}

// OpenCounts reads a file that Save wrote.
func OpenCounts(path string) (*Counts, error) {
	c, err := openCounts(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; make it with pith vocab count", path, err)
	}
	return c, nil
}

func openCounts(path string) (*Counts, error) {
	src, err := formats.OpenSafetensors(path)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	about := src.Metadata()
	if about[countsKind] != countsOf {
		return nil, errors.New("holds no counts of tokens")
	}
	info, err := src.Info(countsName)
	if err != nil {
		return nil, err
	}
	if info.DType != tensor.U64 || len(info.Shape) != 1 || info.Shape[0] > maxCounts {
		return nil, fmt.Errorf("counts are %v of shape %v, not a list of U64", info.DType, info.Shape)
	}
	c := &Counts{Tokenizer: about["tokenizer"], Of: make([]uint64, info.Shape[0])}
	data := make([]byte, 8*len(c.Of))
	if err := src.ReadAt(countsName, data, 0); err != nil {
		return nil, err
	}
	total := uint64(0)
	for id := range c.Of {
		c.Of[id] = binary.LittleEndian.Uint64(data[8*id:])
		if total+c.Of[id] < total {
			return nil, errors.New("the sum of all counts is beyond 64 bits: the file is damaged")
		}
		total += c.Of[id]
	}
	if err := json.Unmarshal([]byte(about["sources"]), &c.Sources); err != nil || len(c.Sources) > maxSourceRow {
		return nil, fmt.Errorf("what was counted is not said (%v)", err)
	}
	return c, nil
}

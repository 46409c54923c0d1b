package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"pith/codec"
	"pith/tensor"
)

// A stack is a model in one file of which every prefix that holds the mandatory part is a model too (docs/formats/stack.md):
//
//	8 bytes   "PITHSTK1"
//	8 bytes   length of the index, little endian
//	32 bytes  SHA-256 of the index
//	          the index: JSON
//	          pieces, one after another in the order of the index: files (config.json, tokenizer), weights that are not stacked, the first
//	          block of every stacked weight, and the other blocks, the most useful first
//
// A block is a term of its weight; a weight is the sum of those of its blocks that are there.

const (
	stackMagic  = "PITHSTK1"
	stackHead   = 48
	stackFormat = 1
	maxIndex    = 256 << 20
	maxPrefix   = 1 << 50 // bytes that a file can have
)

// stackIndex is what the index says. Where pieces lie follows from their sizes.
type stackIndex struct {
	Format    int             `json:"format"`
	Tool      string          `json:"tool"`
	Made      json.RawMessage `json:"made,omitempty"` // how, for people
	Files     []stackEntry    `json:"files"`
	Layouts   []stackLayout   `json:"layouts"`
	Weights   []stackWeight   `json:"weights"`
	Kept      stackPieces     `json:"kept"`
	Blocks    stackPieces     `json:"blocks"`
	Mandatory int             `json:"mandatory"` // of the blocks: one for each stacked weight
}

// stackEntry is a file that the stack holds.
type stackEntry struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	Digest string `json:"digest"`
}

// stackLayout is what a piece of a weight holds: a term of a codec, its parts one after another.
type stackLayout struct {
	Codec string      `json:"codec"`
	Rows  int         `json:"rows"`
	Cols  int         `json:"cols"`
	Parts []stackPart `json:"parts"`
	bytes int64
}

type stackPart struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
	dtype tensor.DType
	bytes int64
}

// stackWeight is a tensor of the checkpoint.
type stackWeight struct {
	Name       string `json:"name"`
	Shape      []int  `json:"shape"`
	Transposed bool   `json:"transposed,omitempty"`
}

// stackPieces lists pieces: of which weight, in which layout, with which digest.
type stackPieces struct {
	Weights []int  `json:"weights"`
	Layouts []int  `json:"layouts"`
	Digests []byte `json:"digests"` // pieceDigest bytes of each, the first of its SHA-256, in Base64: there are many pieces
}

// pieceDigest is how many bytes of a digest are kept of a piece, to find damage by.
const pieceDigest = 8

// holds reports whether data has the digest of piece i.
func (p *stackPieces) holds(i int, data []byte) bool {
	sum := sha256.Sum256(data)
	return bytes.Equal(sum[:pieceDigest], p.Digests[pieceDigest*i:][:pieceDigest])
}

// add appends a piece.
func (p *stackPieces) add(weight, layout int, data []byte) {
	sum := sha256.Sum256(data)
	p.Weights, p.Layouts, p.Digests = append(p.Weights, weight), append(p.Layouts, layout), append(p.Digests, sum[:pieceDigest]...)
}

// digestOf is the SHA-256 of a file in a stack.
func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// stackHeader returns the first 48 bytes of a file with this index.
func stackHeader(index []byte) []byte {
	sum := sha256.Sum256(index)
	head := append([]byte(stackMagic), binary.LittleEndian.AppendUint64(nil, uint64(len(index)))...)
	return append(head, sum[:]...)
}

// parseStack reads an index and checks everything that later reading relies on.
func parseStack(data []byte) (*stackIndex, error) {
	var x stackIndex
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&x); err != nil {
		return nil, fmt.Errorf("the index is not JSON (%w): copy the file again", err)
	}
	if x.Format != stackFormat {
		return nil, fmt.Errorf("stack format %d, this version of pith reads %d: use the pith that wrote it (%.60s)", x.Format, stackFormat, x.Tool)
	}
	for _, check := range []func() error{x.checkFiles, x.checkLayouts, x.checkWeights, x.checkPieces, x.checkMandatory} {
		if err := check(); err != nil {
			return nil, fmt.Errorf("the index contradicts itself: %w: make the stack again", err)
		}
	}
	return &x, nil
}

func (x *stackIndex) checkFiles() error {
	seen := map[string]bool{}
	for _, f := range x.Files {
		switch {
		case f.Name == "" || f.Name != filepath.Base(f.Name) || strings.ContainsAny(f.Name, `/\`) || f.Name == ".." || f.Name == ".":
			return fmt.Errorf("file name %q leaves the directory", f.Name)
		case f.Bytes < 0 || f.Bytes > maxManifest:
			return fmt.Errorf("file %q has %d bytes", f.Name, f.Bytes)
		case seen[f.Name]:
			return fmt.Errorf("file %q is there twice", f.Name)
		}
		seen[f.Name] = true
	}
	return nil
}

func (x *stackIndex) checkLayouts() error {
	for i := range x.Layouts {
		l := &x.Layouts[i]
		if l.Rows < 0 || l.Cols < 0 || l.Rows > 1<<40 || l.Cols > 1<<40 || (l.Cols > 0 && l.Rows > (1<<50)/l.Cols) {
			return fmt.Errorf("layout %d: shape (%d, %d) is not that of a matrix", i, l.Rows, l.Cols)
		}
		for j := range l.Parts {
			p := &l.Parts[j]
			var err error
			if p.dtype, err = tensor.ParseDType(p.DType); err != nil {
				return fmt.Errorf("layout %d: part %q: %w", i, p.Name, err)
			}
			if p.bytes, err = partBytes(p.dtype, p.Shape); err != nil {
				return fmt.Errorf("layout %d: part %q: %w", i, p.Name, err)
			}
			if l.bytes += p.bytes; l.bytes > maxPrefix {
				return fmt.Errorf("layout %d is too large", i)
			}
		}
	}
	return nil
}

// partBytes returns the size of a tensor, refusing shapes that are none.
func partBytes(dt tensor.DType, shape []int) (int64, error) {
	n := int64(1)
	for _, d := range shape {
		if d < 0 || d > 1<<40 || (d > 0 && n > maxPrefix/8/int64(d)) {
			return 0, fmt.Errorf("shape %v is not that of a tensor", shape)
		}
		n *= int64(d)
	}
	block, size := dt.Block()
	if n%int64(block) != 0 {
		return 0, fmt.Errorf("shape %v is not whole blocks of %v", shape, dt)
	}
	return n / int64(block) * int64(size), nil
}

func (x *stackIndex) checkWeights() error {
	if len(x.Weights) == 0 {
		return errors.New("it lists no weights")
	}
	seen := map[string]bool{}
	for _, w := range x.Weights {
		if seen[w.Name] || w.Name == "" {
			return fmt.Errorf("weight %q is there twice", w.Name)
		}
		seen[w.Name] = true
		for _, d := range w.Shape {
			if d < 0 || d > 1<<40 {
				return fmt.Errorf("weight %q has shape %v", w.Name, w.Shape)
			}
		}
	}
	return nil
}

func (x *stackIndex) checkPieces() error {
	terms := make([]int, len(x.Weights))
	for _, p := range []*stackPieces{&x.Kept, &x.Blocks} {
		if len(p.Weights) != len(p.Layouts) || pieceDigest*len(p.Weights) != len(p.Digests) {
			return fmt.Errorf("lists of %d and %d pieces, and %d bytes of digests", len(p.Weights), len(p.Layouts), len(p.Digests))
		}
		for i, w := range p.Weights {
			if w < 0 || w >= len(x.Weights) || p.Layouts[i] < 0 || p.Layouts[i] >= len(x.Layouts) {
				return fmt.Errorf("piece %d is of weight %d in layout %d", i, w, p.Layouts[i])
			}
			if terms[w]++; terms[w] > codec.MaxTerms {
				return fmt.Errorf("weight %q has more than %d terms", x.Weights[w].Name, codec.MaxTerms)
			}
			l := x.Layouts[p.Layouts[i]]
			rows, cols := MatrixDims(x.Weights[w].Shape)
			if x.Weights[w].Transposed {
				rows, cols = cols, rows
			}
			if rows != l.Rows || cols != l.Cols {
				return fmt.Errorf("weight %q of shape %v has a piece of shape (%d, %d)", x.Weights[w].Name, x.Weights[w].Shape, l.Rows, l.Cols)
			}
		}
	}
	return nil
}

func (x *stackIndex) checkMandatory() error {
	first := map[int]bool{}
	if x.Mandatory < 0 || x.Mandatory > len(x.Blocks.Weights) {
		return fmt.Errorf("%d of %d blocks are mandatory", x.Mandatory, len(x.Blocks.Weights))
	}
	for _, w := range x.Blocks.Weights[:x.Mandatory] {
		if first[w] || slices.Contains(x.Kept.Weights, w) {
			return fmt.Errorf("weight %q has two mandatory pieces", x.Weights[w].Name)
		}
		first[w] = true
	}
	for _, w := range x.Blocks.Weights[x.Mandatory:] {
		if !first[w] {
			return fmt.Errorf("weight %q has no mandatory block", x.Weights[w].Name)
		}
	}
	for w := range x.Weights {
		if !first[w] && !slices.Contains(x.Kept.Weights, w) {
			return fmt.Errorf("weight %q has no piece", x.Weights[w].Name)
		}
	}
	return nil
}

// offsets returns where each piece begins, the blocks' end as the last, all after the header and an index of this length: of files, kept pieces and
// blocks in turn.
func (x *stackIndex) offsets(index int) ([]int64, error) {
	at := int64(stackHead + index)
	var list []int64
	add := func(n int64) error {
		list = append(list, at)
		if at += n; at > maxPrefix || at > math.MaxInt64-maxPrefix {
			return fmt.Errorf("the index tells of more than %d bytes: make the stack again", int64(maxPrefix))
		}
		return nil
	}
	for _, f := range x.Files {
		if err := add(f.Bytes); err != nil {
			return nil, err
		}
	}
	for _, p := range []*stackPieces{&x.Kept, &x.Blocks} {
		for _, l := range p.Layouts {
			if err := add(x.Layouts[l].bytes); err != nil {
				return nil, err
			}
		}
	}
	return append(list, at), nil
}

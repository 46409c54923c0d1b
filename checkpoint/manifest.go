package checkpoint

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// ManifestName is the file that makes a directory a Pith artifact. It is written last, so its presence says the artifact is whole.
const ManifestName = "pith.json"

// PlanName is the file that a compression writes first and removes last: a directory that has it, but no manifest, is unfinished.
const PlanName = "pith.plan.json"

// ManifestFormat is the version of the artifact's layout that this package reads and writes.
const ManifestFormat = 1

// Manifest is the content of pith.json: where an artifact came from, how it was made, and the digest of everything in it.
type Manifest struct {
	Format     int             `json:"format"`
	Tool       string          `json:"tool"` // name and version of the writer
	PlanSHA256 string          `json:"plan_sha256"`
	Plan       json.RawMessage `json:"plan"`
	Source     SourceRecord    `json:"source"`
	Totals     Totals          `json:"totals"`
	Files      []FileDigest    `json:"files"` // every other file of the directory, sorted by name
	Weights    []WeightRecord  `json:"weights"`
	Shared     []WeightRecord  `json:"shared,omitempty"` // tensors that weights refer to and none owns, set by set
}

// SourceRecord identifies the checkpoint that was compressed. Weight files have names and sizes only: their content is identified
// weight by weight (WeightRecord.Source), so that it does not matter how a checkpoint is cut into files.
type SourceRecord struct {
	Kind  Kind         `json:"kind"`
	Files []FileDigest `json:"files"`
}

// Totals sums up an artifact.
type Totals struct {
	Weights       int64   `json:"weights"`      // elements
	TensorBytes   int64   `json:"tensor_bytes"` // of all parts
	ShardBytes    int64   `json:"shard_bytes"`  // of the shard files, headers included
	BitsPerWeight float64 `json:"bits_per_weight"`
	RelError      float64 `json:"relative_squared_error"` // Σ‖W−Ŵ‖² / Σ‖W‖² over the weights that were not kept
}

// WeightRecord is what became of one weight.
type WeightRecord struct {
	Name     string            `json:"name"`
	Shape    []int             `json:"shape"`
	Codec    string            `json:"codec"` // terms joined by "+"
	Bytes    int64             `json:"bytes"`
	RelError float64           `json:"relative_squared_error"` // ‖W−Ŵ‖²/‖W‖²
	Shard    string            `json:"shard"`
	Source   string            `json:"source_sha256"`      // of the weight's bytes in the source checkpoint
	Parts    map[string]string `json:"parts"`              // tensor name → sha256 of its bytes
	Fallback string            `json:"fallback,omitempty"` // what was done instead of the plan's method, and why
}

// FileDigest identifies a file by content.
type FileDigest struct {
	Name   string `json:"name"` // without directory
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256,omitempty"`
}

// TermSpec is how a shard's metadata describes one term of a weight; see docs/formats/artifact.md.
type TermSpec struct {
	Codec string   `json:"codec"`
	Rows  int      `json:"rows"`
	Cols  int      `json:"cols"`
	Parts []string `json:"parts"`           // short names, in the codec's order
	Shape []int    `json:"shape,omitempty"` // of the weight, on its first term, if it is not (rows, cols)

	// From names, for each part that is not the weight's own, the tensor that stores it.
	From map[string]string `json:"from,omitempty"`

	// Transposed, on the first term: the checkpoint stores the weight as (cols, rows).
	Transposed bool `json:"transposed,omitempty"`
}

// PartName returns the name of the tensor that stores one part of a weight's term.
func PartName(weight string, term int, part string) string {
	return fmt.Sprintf("%s|%d.%s", weight, term, part)
}

// maxManifest bounds what is read of a pith.json: about 1 KB a weight, for the largest models known.
const maxManifest = 256 << 20

// ReadManifest reads dir's pith.json.
func ReadManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, ManifestName)
	data, err := readBounded(path, maxManifest)
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func parseManifest(data []byte) (*Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("not a manifest (%w): compress again", err)
	}
	if m.Format != ManifestFormat {
		return nil, fmt.Errorf("artifact format %d, this version of pith reads %d: use the pith that wrote it (%s)", m.Format, ManifestFormat, m.Tool)
	}
	files := map[string]bool{}
	for _, f := range m.Files {
		files[f.Name] = true
		if f.Name == "" || f.Name != filepath.Base(f.Name) || strings.ContainsAny(f.Name, `/\`) || f.Name == ".." {
			return nil, fmt.Errorf("file name %q leaves the directory: the manifest is damaged", f.Name)
		}
	}
	for _, w := range slices.Concat(m.Weights, m.Shared) {
		if !files[w.Shard] {
			return nil, fmt.Errorf("weight %q: shard %q is not among the files: the manifest is damaged; compress again", w.Name, w.Shard)
		}
	}
	return &m, nil
}

// readBounded reads a regular file of at most limit bytes.
func readBounded(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // a pipe would hang, a device never ends
		return nil, fmt.Errorf("%s: is not a regular file; copy the model again", path)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("%s: %d bytes are more than the %d that such a file can have", path, info.Size(), limit)
	}
	return os.ReadFile(path)
}

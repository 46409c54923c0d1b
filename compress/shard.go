package compress

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"pith/checkpoint"
	"pith/codec"
	"pith/formats"
	"pith/plan"
	"pith/tensor"
)

// Keys of a shard's metadata besides one per weight.
const (
	metaFormat = "format"
	metaBlock  = "pith.block"
	metaPlan   = "pith.plan"   // hash of the plan
	metaParts  = "pith.parts"  // tensor → sha256 of its bytes
	metaSource = "pith.source" // weight → sha256 of its bytes in the source
	metaErrors = "pith.errors" // weight → [‖W−Ŵ‖², ‖W‖²]
	metaNotes  = "pith.notes"  // weight → what was done instead of its method, and why; absent if nothing was
	metaSeal   = "pith.seal"   // sha256 of all other metadata
)

// shard is what is known of a finished shard.
type shard struct {
	file        checkpoint.FileDigest
	weights     []checkpoint.WeightRecord
	shared      []checkpoint.WeightRecord // what weights have in common
	tensorBytes int64
	stored      map[string]stored // of each weight
	err, norm   float64           // Σ‖W−Ŵ‖² and Σ‖W‖² over the weights that were not kept
}

// partNames returns the tensor names of a weight's parts, in order.
func (s *solved) partNames() []string {
	if len(s.specs) == 0 {
		return []string{s.line.Weight}
	}
	var names []string
	for i, spec := range s.specs {
		for _, p := range spec.Own() {
			names = append(names, checkpoint.PartName(s.line.Weight, i, p))
		}
	}
	return names
}

// write writes block i's shard, opens it again, checks that it holds what was solved, and records it.
func (r *run) write(ctx context.Context, i int, b *plan.Block, all []*solved) error {
	path := r.shardPath(i)
	metadata := r.metadata(b, all)
	var tensors []formats.LazyTensor
	for _, s := range all {
		for j, name := range s.partNames() {
			p := s.parts[j]
			t := formats.LazyTensor{Info: formats.Info{Name: name, DType: p.DType, Shape: p.Shape}}
			if s.raw {
				t.Write = func(w io.Writer) error { return r.copyRaw(ctx, w, s.line.Weight) }
			} else {
				t.Data = func() ([]byte, error) { return p.Data, nil }
			}
			tensors = append(tensors, t)
		}
	}
	if err := formats.WriteSafetensors(path, tensors, metadata); err != nil {
		return writeError(r.dir.path, err)
	}
	done, err := r.checkWritten(ctx, path, b, all)
	if err != nil {
		if ctx.Err() == nil {
			os.Remove(path) // whatever it is, it is not what was solved
		}
		return fmt.Errorf("%s: verification after writing: %w", path, err)
	}
	r.record(i, b, done)
	return nil
}

// record notes a shard that is written and verified.
func (r *run) record(i int, b *plan.Block, done shard) {
	r.shards[i] = done
	weights := int64(0)
	for j := range b.Lines {
		weights += b.Lines[j].Elements()
	}
	r.report.mu.Lock()
	r.done++
	r.report.mu.Unlock()
	r.report.emit(Event{Kind: BlockDone, Block: b.Name, Index: i, Weights: weights, Bytes: done.tensorBytes, RelError: ratio(done.err, done.norm)})
}

// copyRaw streams a kept tensor from the source.
func (r *run) copyRaw(ctx context.Context, w io.Writer, name string) error {
	info, err := r.ckpt.Info(name)
	if err != nil {
		return err
	}
	buf := make([]byte, min(copyBytes, info.Bytes))
	for off := int64(0); off < info.Bytes; off += copyBytes {
		if err := ctx.Err(); err != nil {
			return err
		}
		piece := buf[:min(copyBytes, info.Bytes-off)]
		if err := r.ckpt.ReadRaw(name, piece, off); err != nil {
			return err
		}
		if _, err := w.Write(piece); err != nil {
			return err
		}
	}
	return nil
}

// metadata describes a block's weights and seals the description.
func (r *run) metadata(b *plan.Block, all []*solved) map[string]string {
	m := map[string]string{metaFormat: "pith", metaBlock: b.Name, metaPlan: r.hash}
	parts, source, notes, errs := map[string]string{}, map[string]string{}, map[string]string{}, map[string][2]json.RawMessage{}
	for _, s := range all {
		for j, name := range s.partNames() {
			parts[name] = s.sums[j]
		}
		source[s.line.Weight] = s.source
		errs[s.line.Weight] = [2]json.RawMessage{fixedWidth(s.report.SquaredError), fixedWidth(s.report.SquaredNorm)}
		if s.report.Fallback != "" {
			notes[s.line.Weight] = s.report.Fallback
		}
		if len(s.specs) > 0 {
			m[s.line.Weight] = toJSON(s.specs)
		}
	}
	if len(notes) > 0 {
		m[metaNotes] = toJSON(notes)
	}
	m[metaParts], m[metaSource], m[metaErrors] = toJSON(parts), toJSON(source), toJSON(errs)
	m[metaSeal] = seal(m)
	return m
}

// fixedWidth writes a non-negative number as JSON of 22 characters, so that a shard's size does not depend on the errors.
func fixedWidth(v float64) json.RawMessage {
	if v < 1e-99 { // three digits of exponent would be wider
		v = 0
	}
	return json.RawMessage(strconv.AppendFloat(nil, min(v, 1e99), 'e', 16, 64))
}

func toJSON(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		panic("compress: metadata is always representable as JSON")
	}
	return string(data)
}

// seal returns the sha256 of all metadata but the seal itself: keys sorted, each key and value preceded by its length.
func seal(m map[string]string) string {
	h := sha256.New()
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if key != metaSeal {
			fmt.Fprintf(h, "%d:%s%d:%s", len(key), key, len(m[key]), m[key])
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// checkWritten reads a shard back, once and in order, and compares every part with what was solved. Its record comes from what was read.
func (r *run) checkWritten(ctx context.Context, path string, b *plan.Block, all []*solved) (shard, error) {
	f, err := formats.OpenSafetensors(path)
	if err != nil {
		return shard{}, err
	}
	defer f.Close()
	parts := map[string]expected{}
	for _, s := range all {
		for j, name := range s.partNames() {
			parts[name] = expected{data: s.parts[j].Data, raw: s.raw, sum: s.sums[j]}
		}
		if s.terms != nil {
			if err := finiteTerms(s.terms); err != nil {
				return shard{}, blockError(s.line, err)
			}
		} else if err := openTerms(s.specs, s.parts); err != nil {
			return shard{}, blockError(s.line, err)
		}
	}
	digest, err := compareFile(ctx, path, f.Tensors(), parts)
	if err != nil {
		return shard{}, err
	}
	return describeShard(f, path, digest, b)
}

// expected is what a tensor of a shard should hold.
type expected struct {
	data []byte
	raw  bool   // data is not in memory; sum stands for it
	sum  string // sha256
}

// compareFile reads a safetensors file from start to end, comparing each tensor's bytes, and returns the file's digest.
func compareFile(ctx context.Context, path string, tensors []formats.Info, want map[string]expected) (checkpoint.FileDigest, error) {
	f, err := os.Open(path)
	if err != nil {
		return checkpoint.FileDigest{}, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return checkpoint.FileDigest{}, err
	}
	whole := sha256.New()
	buf := make([]byte, copyBytes)
	header := info.Size()
	for _, t := range tensors {
		header -= t.Bytes
	}
	if _, err := io.CopyBuffer(whole, io.LimitReader(f, header), buf); err != nil {
		return checkpoint.FileDigest{}, err
	}
	for _, t := range tensors {
		w, ok := want[t.Name]
		if !ok || (!w.raw && int64(len(w.data)) != t.Bytes) {
			return checkpoint.FileDigest{}, fmt.Errorf("%s: is not what was written", t.Name)
		}
		if err := compareTensor(ctx, f, whole, t, w, buf); err != nil {
			return checkpoint.FileDigest{}, err
		}
	}
	return checkpoint.FileDigest{Name: filepath.Base(path), Bytes: info.Size(), SHA256: hex.EncodeToString(whole.Sum(nil))}, nil
}

func compareTensor(ctx context.Context, f io.Reader, whole hash.Hash, t formats.Info, w expected, buf []byte) error {
	own := sha256.New()
	for off := int64(0); off < t.Bytes; off += copyBytes {
		if err := ctx.Err(); err != nil {
			return err
		}
		piece := buf[:min(copyBytes, t.Bytes-off)]
		if _, err := io.ReadFull(f, piece); err != nil {
			return fmt.Errorf("%s: %w", t.Name, err)
		}
		whole.Write(piece)
		if w.raw {
			own.Write(piece)
		} else if !bytes.Equal(piece, w.data[off:off+int64(len(piece))]) {
			return fmt.Errorf("%s: the disk returned other bytes than were written; check the disk", t.Name)
		}
	}
	if w.raw && hex.EncodeToString(own.Sum(nil)) != w.sum {
		return fmt.Errorf("%s: the file holds other bytes than the source; has the source changed?", t.Name)
	}
	return nil
}

// openTerms opens the terms made of parts and checks them.
func openTerms(specs []checkpoint.TermSpec, parts []codec.Part) error {
	var terms []codec.Term
	for _, spec := range specs {
		if len(spec.From) > 0 {
			return nil // an alias: checked where it is stored
		}
		term, err := checkpoint.OpenTerm(spec, parts[:len(spec.Parts)])
		if err != nil {
			return err
		}
		terms, parts = append(terms, term), parts[len(spec.Parts):]
	}
	return finiteTerms(terms)
}

// finiteTerms decodes the first, middle and last row of each term, which must be finite.
func finiteTerms(terms []codec.Term) error {
	for _, term := range terms {
		rows, cols := term.Dims()
		if rows == 0 {
			continue
		}
		row := tensor.NewMat(1, cols)
		for _, r := range []int{0, rows / 2, rows - 1} {
			clear(row.Data)
			term.AddTo(row, r)
			if err := notFinite(row, r); err != nil {
				return fmt.Errorf("%s decodes to values that are not finite: %w", term.Codec(), err)
			}
		}
	}
	return nil
}

// hashTensor returns the sha256 of a tensor's bytes.
func hashTensor(ctx context.Context, f formats.Source, name string) (string, error) {
	info, err := f.Info(name)
	if err != nil {
		return "", err
	}
	h := sha256.New()
	buf := make([]byte, min(copyBytes, info.Bytes))
	for off := int64(0); off < info.Bytes; off += copyBytes {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		piece := buf[:min(copyBytes, info.Bytes-off)]
		if err := f.ReadAt(name, piece, off); err != nil {
			return "", err
		}
		h.Write(piece)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

func ratio(err, norm float64) float64 {
	if norm == 0 {
		return 0
	}
	return err / norm
}

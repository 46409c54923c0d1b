package compress

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pith/checkpoint"
	"pith/formats"
)

// finish writes what belongs beside the shards, the manifest last of all.
func (r *run) finish(ctx context.Context) error {
	files, err := r.copyConfig(ctx)
	if err != nil {
		return err
	}
	weightMap := map[string]string{}
	var weights, shared []checkpoint.WeightRecord
	for i := range r.shards {
		s := &r.shards[i]
		files = append(files, s.file)
		weights, shared = append(weights, s.weights...), append(shared, s.shared...)
		for _, w := range slices.Concat(s.weights, s.shared) {
			for part := range w.Parts {
				weightMap[part] = s.file.Name
			}
			if w.Fallback != "" {
				r.result.Notes = append(r.result.Notes, fmt.Sprintf("%s: %s", w.Name, w.Fallback))
			}
		}
		r.result.Bytes += s.tensorBytes
		r.result.ShardBytes += s.file.Bytes
		r.squared.err += s.err
		r.squared.norm += s.norm
	}
	r.result.RelError = ratio(r.squared.err, r.squared.norm)
	if r.result.Bytes != r.plan.Totals.Bytes {
		return fmt.Errorf("%d bytes of tensors were written, the plan says %d: please report this", r.result.Bytes, r.plan.Totals.Bytes)
	}
	index := filepath.Join(r.dir.path, indexName)
	if err := formats.WriteIndex(index, weightMap, r.result.Bytes); err != nil {
		return writeError(r.dir.path, err)
	}
	digest, err := checkpoint.DigestFile(ctx, index)
	if err != nil {
		return err
	}
	files = append(files, digest)
	slices.SortFunc(files, func(a, b checkpoint.FileDigest) int { return strings.Compare(a.Name, b.Name) })
	return r.writeManifest(ctx, files, weights, shared)
}

func (r *run) writeManifest(ctx context.Context, files []checkpoint.FileDigest, weights, shared []checkpoint.WeightRecord) error {
	source, err := r.sourceRecord(ctx)
	if err != nil {
		return err
	}
	m := checkpoint.Manifest{Format: checkpoint.ManifestFormat, Tool: r.o.Tool, PlanSHA256: r.hash, Plan: r.plan.JSON(), Source: source,
		Totals: checkpoint.Totals{Weights: r.plan.Totals.Weights, TensorBytes: r.result.Bytes, ShardBytes: r.result.ShardBytes,
			BitsPerWeight: r.plan.Totals.BitsPerWeight, RelError: r.result.RelError},
		Files: files, Weights: weights, Shared: shared}
	data, err := json.MarshalIndent(m, "", " ")
	if err != nil {
		return fmt.Errorf("manifest: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err = formats.WriteFileAtomic(filepath.Join(r.dir.path, checkpoint.ManifestName), func(w io.Writer) error {
		_, err := w.Write(append(data, '\n'))
		return err
	})
	if err != nil {
		return writeError(r.dir.path, err)
	}
	return nil
}

// sourceRecord identifies the checkpoint: its files by name and size, its config files by digest too. The weights themselves are
// identified one by one in the weights' records.
func (r *run) sourceRecord(ctx context.Context) (checkpoint.SourceRecord, error) {
	rec := checkpoint.SourceRecord{Kind: r.ckpt.Kind}
	for _, path := range r.ckpt.Files() {
		info, err := os.Stat(path)
		if err != nil {
			return rec, err
		}
		rec.Files = append(rec.Files, checkpoint.FileDigest{Name: filepath.Base(path), Bytes: info.Size()})
	}
	for _, path := range r.ckpt.ConfigFiles() {
		d, err := checkpoint.DigestFile(ctx, path)
		if err != nil {
			return rec, err
		}
		rec.Files = append(rec.Files, d)
	}
	return rec, nil
}

// copyConfig copies config and tokenizer files into the artifact.
func (r *run) copyConfig(ctx context.Context) ([]checkpoint.FileDigest, error) {
	contents, err := r.ckpt.ConfigContents()
	if err != nil {
		return nil, err
	}
	var digests []checkpoint.FileDigest
	for _, c := range contents {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		path := filepath.Join(r.dir.path, c.Name)
		if old, err := os.ReadFile(path); err != nil || !bytes.Equal(old, c.Data) {
			err := formats.WriteFileAtomic(path, func(w io.Writer) error { _, err := w.Write(c.Data); return err })
			if err != nil {
				return nil, writeError(r.dir.path, err)
			}
		}
		d, err := checkpoint.DigestFile(ctx, path)
		if err != nil {
			return nil, err
		}
		digests = append(digests, d)
	}
	return digests, nil
}

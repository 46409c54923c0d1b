package compress

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"

	"pith/checkpoint"
	"pith/formats"
	"pith/internal/par"
	"pith/plan"
)

// shardMeta is a shard's metadata, its seal checked.
type shardMeta struct {
	plan, block string
	parts       map[string]string
	source      map[string]string
	errors      map[string][2]float64
	notes       map[string]string
	terms       map[string][]checkpoint.TermSpec
}

func parseMeta(m map[string]string) (*shardMeta, error) {
	if m[metaSeal] == "" || m[metaSeal] != seal(m) {
		return nil, fmt.Errorf("the metadata's seal is broken")
	}
	d := &shardMeta{plan: m[metaPlan], block: m[metaBlock], terms: map[string][]checkpoint.TermSpec{}}
	for key, to := range map[string]any{metaParts: &d.parts, metaSource: &d.source, metaErrors: &d.errors} {
		if err := json.Unmarshal([]byte(m[key]), to); err != nil {
			return nil, fmt.Errorf("metadata %s: %w", key, err)
		}
	}
	if text, ok := m[metaNotes]; ok {
		if err := json.Unmarshal([]byte(text), &d.notes); err != nil {
			return nil, fmt.Errorf("metadata %s: %w", metaNotes, err)
		}
	}
	for name := range d.source {
		if text, ok := m[name]; ok {
			var specs []checkpoint.TermSpec
			if err := json.Unmarshal([]byte(text), &specs); err != nil {
				return nil, fmt.Errorf("metadata %s: %w", name, err)
			}
			d.terms[name] = specs
		}
	}
	return d, nil
}

// describeShard makes the record of a shard from its metadata, the same for one just written and one that was there.
func describeShard(f *formats.Safetensors, path string, digest checkpoint.FileDigest, b *plan.Block) (shard, error) {
	meta, err := parseMeta(f.FileMetadata(path))
	if err != nil {
		return shard{}, err
	}
	s := shard{file: digest, stored: map[string]stored{}}
	for i := range b.Lines {
		l := &b.Lines[i]
		w := checkpoint.WeightRecord{Name: l.Weight, Shape: l.Shape, Codec: l.Codec, Shard: filepath.Base(path), Source: meta.source[l.Weight],
			Fallback: meta.notes[l.Weight], Parts: map[string]string{}}
		names := []string{l.Weight}
		lies := stored{specs: meta.terms[l.Weight]}
		if specs := meta.terms[l.Weight]; specs != nil {
			names = names[:0]
			for j, spec := range specs {
				for _, p := range spec.Own() {
					names = append(names, checkpoint.PartName(l.Weight, j, p))
				}
			}
		}
		for _, name := range names {
			info, err := f.Info(name)
			if err != nil {
				return shard{}, err
			}
			lies.dtype = info.DType
			w.Bytes += info.Bytes
			w.Parts[name] = meta.parts[name]
		}
		s.stored[l.Weight] = lies
		e := meta.errors[l.Weight]
		w.RelError = ratio(e[0], e[1])
		if !l.Keeps() { // what is stored as it was has no error, and would only dilute that of the rest
			s.err, s.norm = s.err+e[0], s.norm+e[1]
		}
		s.tensorBytes += w.Bytes
		if l.Common() {
			s.shared = append(s.shared, w)
		} else {
			s.weights = append(s.weights, w)
		}
	}
	return s, nil
}

// readShard accepts a shard if it was made by this plan from the same weights and every byte of it has the digest it had then.
func (r *run) readShard(ctx context.Context, path string, b *plan.Block) (shard, error) {
	f, err := formats.OpenSafetensors(path)
	if err != nil {
		return shard{}, err
	}
	defer f.Close()
	meta, err := parseMeta(f.FileMetadata(path))
	if err != nil {
		return shard{}, err
	}
	if meta.plan != r.hash || meta.block != b.Name || len(meta.source) != len(b.Lines) {
		return shard{}, fmt.Errorf("%s: of another plan", path)
	}
	names := f.Names()
	if len(names) != len(meta.parts) {
		return shard{}, fmt.Errorf("%s: %d tensors, %d have digests", path, len(names), len(meta.parts))
	}
	errs := make([]error, len(names)+len(b.Lines))
	par.For(r.o.Workers, len(errs), func(i int) {
		if i < len(names) {
			if sum, err := hashTensor(ctx, f, names[i]); err != nil || sum != meta.parts[names[i]] {
				errs[i] = fmt.Errorf("%s: %s: digest differs (%v)", path, names[i], err)
			}
			return
		}
		l := &b.Lines[i-len(names)]
		if sum, _, err := r.hashLine(ctx, l, false); err != nil || sum != meta.source[l.Weight] {
			errs[i] = fmt.Errorf("%s: %s: the source has changed (%v)", path, l.Weight, err)
		}
	})
	if err := first(errs); err != nil {
		return shard{}, err
	}
	digest, err := checkpoint.DigestFile(ctx, path)
	if err != nil {
		return shard{}, err
	}
	return describeShard(f, path, digest, b)
}

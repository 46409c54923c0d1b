package compress

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"

	"pith/checkpoint"
	"pith/formats"
	"pith/internal/par"
	"pith/model"
	"pith/plan"
	"pith/tensor"
)

// Verified says what Verify checked.
type Verified struct {
	Files       int     `json:"files"`
	Tensors     int     `json:"tensors"` // all of whose digests were compared
	Weights     int64   `json:"weights"` // elements, all of which were decoded
	TensorBytes int64   `json:"tensor_bytes"`
	RelError    float64 `json:"relative_squared_error"` // as the manifest states it
	Model       string  `json:"model_type"`             // config.json's; "" if there is no table for it, and shapes were not compared
}

// Verify checks an artifact completely: every file's and every tensor's digest, that no shard is there which the manifest does not know,
// that every weight decodes to finite numbers, and that shapes are those config.json calls for. It reads everything once or twice.
func Verify(dir string) (Verified, error) { return VerifyContext(context.Background(), dir) }

// VerifyContext is Verify that stops when ctx ends.
func VerifyContext(ctx context.Context, dir string) (Verified, error) {
	if checkpoint.IsStack(dir) {
		return verifyStack(ctx, dir)
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return Verified{}, fmt.Errorf("%s: is a file, and a Pith artifact is a directory; only what pith compress wrote has digests to verify", dir)
	}
	m, err := checkpoint.ReadManifest(dir)
	if errors.Is(err, os.ErrNotExist) {
		if _, statErr := os.Stat(filepath.Join(dir, checkpoint.PlanName)); statErr == nil {
			return Verified{}, fmt.Errorf("%s: compression was not finished here; run the same pith compress again, it resumes", dir)
		}
		return Verified{}, fmt.Errorf("%s: is not a Pith artifact (no %s); give the directory that pith compress wrote", dir, checkpoint.ManifestName)
	}
	if err != nil {
		return Verified{}, err
	}
	if err := verifyPlan(m); err != nil {
		return Verified{}, fmt.Errorf("%s: %w", filepath.Join(dir, checkpoint.ManifestName), err)
	}
	if err := verifyFiles(ctx, dir, m); err != nil {
		return Verified{}, err
	}
	ckpt, err := checkpoint.Open(dir)
	if err != nil {
		return Verified{}, err
	}
	defer ckpt.Close()
	cfg, err := checkConfig(ckpt)
	if err != nil {
		return Verified{}, err
	}
	v := Verified{Files: len(m.Files), RelError: m.Totals.RelError, Model: cfg.ModelType}
	if err := verifyWeights(ctx, ckpt, cfg, m, &v); err != nil {
		return Verified{}, err
	}
	return v, nil
}

// verifyPlan compares the plan that the manifest holds, in canonical form, with its digest.
func verifyPlan(m *checkpoint.Manifest) error {
	var compact bytes.Buffer
	if err := json.Compact(&compact, m.Plan); err != nil {
		return fmt.Errorf("the plan is not JSON (%w); compress again", err)
	}
	sum := sha256.Sum256(compact.Bytes())
	if got := hex.EncodeToString(sum[:]); got != m.PlanSHA256 {
		return fmt.Errorf("the plan has changed since it was written (sha256 %s, plan_sha256 says %s); compress again", got, m.PlanSHA256)
	}
	return nil
}

// verifyFiles compares every file with its digest, and looks for shards that nobody knows.
func verifyFiles(ctx context.Context, dir string, m *checkpoint.Manifest) error {
	errs := make([]error, len(m.Files))
	par.For(runtime.GOMAXPROCS(0), len(m.Files), func(i int) {
		want := m.Files[i]
		path := filepath.Join(dir, want.Name)
		got, err := checkpoint.DigestFile(ctx, path)
		switch {
		case ctx.Err() != nil:
			errs[i] = ctx.Err()
		case errors.Is(err, os.ErrNotExist):
			errs[i] = fmt.Errorf("%s: is missing; compress again", path)
		case err != nil:
			errs[i] = err
		case got.Bytes != want.Bytes:
			errs[i] = fmt.Errorf("%s: has %d bytes, the manifest says %d; compress again", path, got.Bytes, want.Bytes)
		case got.SHA256 != want.SHA256:
			errs[i] = fmt.Errorf("%s: has changed since it was written (sha256 %s, the manifest says %s); compress again", path, got.SHA256, want.SHA256)
		}
	})
	if err := first(errs); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		known := slices.ContainsFunc(m.Files, func(f checkpoint.FileDigest) bool { return f.Name == e.Name() })
		if !known && filepath.Ext(e.Name()) == ".safetensors" {
			return fmt.Errorf("%s: stray shard that the manifest does not know; move it away", filepath.Join(dir, e.Name()))
		}
	}
	return nil
}

// verifyWeights compares the digest of every tensor and decodes every weight.
func verifyWeights(ctx context.Context, ckpt *checkpoint.Checkpoint, cfg model.Config, m *checkpoint.Manifest, v *Verified) error {
	names := ckpt.Names()
	if len(names) != len(m.Weights) {
		return fmt.Errorf("%s: holds %d weights, the manifest says %d; compress again", ckpt.Path, len(names), len(m.Weights))
	}
	src, err := formats.OpenSafetensors(ckpt.Path)
	if err != nil {
		return err
	}
	defer src.Close()
	var mu sync.Mutex
	errs := make([]error, len(m.Weights))
	par.For(runtime.GOMAXPROCS(0), len(m.Weights), func(i int) {
		w := &m.Weights[i]
		bytes, elements, err := verifyWeight(ctx, ckpt, cfg, src, w)
		if err != nil {
			errs[i] = fmt.Errorf("%s: %s: %w", filepath.Join(ckpt.Path, filepath.Base(w.Shard)), w.Name, err)
			return
		}
		mu.Lock()
		v.TensorBytes += bytes
		v.Weights += elements
		v.Tensors += len(w.Parts)
		mu.Unlock()
	})
	if err := errors.Join(ctx.Err(), first(errs)); err != nil {
		return err
	}
	for i := range m.Shared { // decoded with the weights that refer to them
		s := &m.Shared[i]
		if err := verifyParts(ctx, src, s); err != nil {
			return fmt.Errorf("%s: %s: %w", filepath.Join(ckpt.Path, filepath.Base(s.Shard)), s.Name, err)
		}
		v.TensorBytes += s.Bytes
		v.Tensors += len(s.Parts)
	}
	if v.Tensors != len(src.Names()) {
		return fmt.Errorf("%s: holds %d tensors, the manifest says %d; compress again", ckpt.Path, len(src.Names()), v.Tensors)
	}
	if v.TensorBytes != m.Totals.TensorBytes || v.Weights != m.Totals.Weights {
		return fmt.Errorf("%s: %d weights in %d bytes, the manifest says %d in %d; compress again", ckpt.Path, v.Weights, v.TensorBytes, m.Totals.Weights, m.Totals.TensorBytes)
	}
	return nil
}

func verifyWeight(ctx context.Context, ckpt *checkpoint.Checkpoint, cfg model.Config, src formats.Source, w *checkpoint.WeightRecord) (bytes, elements int64, err error) {
	if err := verifyParts(ctx, src, w); err != nil {
		return 0, 0, err
	}
	info, err := ckpt.Info(w.Name)
	if err != nil {
		return 0, 0, err
	}
	if !slices.Equal(info.Shape, w.Shape) || info.Codec != w.Codec || info.Bytes != w.Bytes {
		return 0, 0, fmt.Errorf("is %s %v of %d bytes, the manifest says %s %v of %d", info.Codec, info.Shape, info.Bytes, w.Codec, w.Shape, w.Bytes)
	}
	elements = int64(info.Rows) * int64(info.Cols)
	if info.DType != tensor.Invalid && (!isFloat(info.DType) || model.Role(cfg, w.Name) == "other") {
		return info.Bytes, elements, nil // integers, masks and buffers are copied as they were, whatever they hold
	}
	return info.Bytes, elements, decodeAll(ctx, ckpt, info)
}

// verifyParts compares the digests of the tensors that a record lists.
func verifyParts(ctx context.Context, src formats.Source, w *checkpoint.WeightRecord) error {
	for part, want := range w.Parts {
		sum, err := hashTensor(ctx, src, part)
		if err != nil {
			return err
		}
		if sum != want {
			return fmt.Errorf("%s has sha256 %s, the manifest says %s", part, sum, want)
		}
	}
	return nil
}

// decodeAll decodes every row of a weight and looks for values that are not finite.
func decodeAll(ctx context.Context, ckpt *checkpoint.Checkpoint, info checkpoint.Info) error {
	rows, err := ckpt.Rows(info.Name)
	if err != nil {
		return err
	}
	if info.Rows == 0 {
		return nil // and columns are whatever the file says
	}
	tile := plan.TileRows(info.Rows, info.Cols)
	buf := tensor.NewMat(tile, info.Cols)
	for r0 := 0; r0 < info.Rows; r0 += tile {
		if err := ctx.Err(); err != nil {
			return err
		}
		w := buf.Slice(0, min(tile, info.Rows-r0))
		if err := rows.Read(w, r0); err != nil {
			return err
		}
		if err := notFinite(w, r0); err != nil {
			return err
		}
	}
	return nil
}

// checkConfig compares shapes with those that config.json calls for, if there is one of an architecture that has a table.
func checkConfig(ckpt *checkpoint.Checkpoint) (model.Config, error) {
	if ckpt.ConfigJSON() == nil {
		return model.Config{}, nil
	}
	cfg, err := ckpt.Config()
	if errors.Is(err, model.ErrUnknownArchitecture) {
		return model.Config{}, nil
	}
	if err != nil {
		return cfg, err
	}
	if err := model.CheckShapes(cfg, ckpt); err != nil {
		return cfg, fmt.Errorf("%s: %w", ckpt.Path, err)
	}
	return cfg, nil
}

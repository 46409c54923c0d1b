package compress

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"

	"pith/checkpoint"
	"pith/tensor"
)

// copyBytes is the size of the pieces in which plain tensors are hashed and copied; a multiple of every dtype's block.
const copyBytes = 3 << 16

// digestSource hashes the bytes of a weight as the source stores them, and checks those that are kept for values that are not finite.
func (r *run) digestSource(ctx context.Context, s *solved) error {
	sum, norm, err := r.hashLine(ctx, s.line, s.raw && s.line.Role != "other")
	if err != nil {
		return err
	}
	s.source = sum
	if s.method == nil {
		s.report.SquaredNorm = norm
		r.report.add(s.line.Elements())
	}
	return nil
}

// hashWeight returns the sha256 of a weight's stored bytes: the tensor, or the parts of its terms one after another. With check, values
// that are not finite are errors, and norm is ‖W‖².
func (r *run) hashWeight(ctx context.Context, name string, check bool) (sum string, norm float64, err error) {
	h := sha256.New()
	if !r.ckpt.Plain(name) {
		w, err := r.ckpt.Load(name)
		if err != nil {
			return "", 0, err
		}
		for _, t := range w.Terms {
			for _, p := range t.Parts() {
				h.Write(p.Data)
			}
		}
		return hex.EncodeToString(h.Sum(nil)), 0, nil
	}
	info, err := r.ckpt.Info(name)
	if err != nil {
		return "", 0, err
	}
	check = check && isFloat(info.DType)
	buf := make([]byte, min(copyBytes, info.Bytes))
	for off := int64(0); off < info.Bytes; off += copyBytes {
		if err := ctx.Err(); err != nil {
			return "", 0, err
		}
		piece := buf[:min(copyBytes, info.Bytes-off)]
		if err := r.ckpt.ReadRaw(name, piece, off); err != nil {
			return "", 0, err
		}
		h.Write(piece)
		if check {
			n, err := finitePiece(info, piece, off)
			if err != nil {
				return "", 0, err
			}
			norm += n
		}
	}
	return hex.EncodeToString(h.Sum(nil)), norm, nil
}

func isFloat(d tensor.DType) bool {
	return d == tensor.F32 || d == tensor.F16 || d == tensor.BF16 || d == tensor.F64
}

// finitePiece returns the squared norm of the elements in data, which starts at byte off of the tensor, or an error naming one
// that is not finite.
func finitePiece(info checkpoint.Info, data []byte, off int64) (float64, error) {
	_, size := info.DType.Block()
	values := make([]float32, len(data)/size)
	tensor.Decode(values, info.DType, data, 0)
	var norm float64
	for i, v := range values {
		if v-v != 0 && !(info.DType == tensor.F64 && !math.IsNaN(float64(v))) {
			at := off/int64(size) + int64(i)
			return 0, fmt.Errorf("%s: %s: weight at row %d, column %d is %v; repair the checkpoint", info.File, info.Name, at/int64(info.Cols), at%int64(info.Cols), v)
		}
		norm += float64(v) * float64(v)
	}
	return norm, nil
}

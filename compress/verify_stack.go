package compress

import (
	"context"
	"errors"
	"fmt"

	"pith/checkpoint"
	"pith/model"
)

// verifyStack is VerifyContext of a stack: every piece that the file holds is compared with its digest, and every weight decoded.
func verifyStack(ctx context.Context, path string) (Verified, error) {
	ckpt, err := checkpoint.Open(path)
	if err != nil {
		return Verified{}, err
	}
	defer ckpt.Close()
	s := ckpt.Stack()
	if err := s.Check(); err != nil {
		return Verified{}, err
	}
	cfg, err := ckpt.Config()
	if err != nil && !errors.Is(err, model.ErrUnknownArchitecture) {
		return Verified{}, err
	}
	if err := model.CheckShapes(cfg, ckpt); err != nil {
		return Verified{}, fmt.Errorf("%s: %w", path, err)
	}
	v := Verified{Files: 1, Model: cfg.ModelType}
	for _, name := range ckpt.Names() {
		info, err := ckpt.Info(name)
		if err != nil {
			return v, err
		}
		if err := decodeAll(ctx, ckpt, info); err != nil {
			return v, fmt.Errorf("%s: %s: %w", path, name, err)
		}
		v.Tensors++
		v.TensorBytes += info.Bytes
		v.Weights += int64(info.Rows) * int64(info.Cols)
	}
	return v, nil
}

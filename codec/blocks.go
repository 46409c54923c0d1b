package codec

import (
	"fmt"

	"pith/tensor"
)

func openBlocks(name string, dt tensor.DType, rows, cols int, data []byte) (Term, error) {
	return nil, fmt.Errorf("%s: no codec for dtype %v yet", name, dt)
}

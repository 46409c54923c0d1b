package codec

import (
	"errors"
	"fmt"
)

// Concat joins terms of one codec and one number of columns, row tiles of a matrix in order, into the term of all rows. Since
// every layout stores rows one after another, it is what encoding the whole matrix would have given.
func Concat(terms []Term) (Term, error) {
	if len(terms) == 0 {
		return nil, errors.New("no terms to concatenate")
	}
	if len(terms) == 1 {
		return terms[0], nil
	}
	name := terms[0].Codec()
	_, cols := terms[0].Dims()
	total := 0
	for _, t := range terms {
		r, n := t.Dims()
		if t.Codec() != name || n != cols {
			return nil, fmt.Errorf("cannot concatenate %s of %d columns and %s of %d", name, cols, t.Codec(), n)
		}
		total += r
	}
	if _, ok := terms[0].(sparseTerm); ok {
		return joinSparse(terms), nil
	}
	parts := terms[0].Parts()
	joined := make([]Part, len(parts))
	for i, p := range parts {
		shape := append([]int{total}, p.Shape[1:]...)
		var size int
		for _, t := range terms {
			size += len(t.Parts()[i].Data)
		}
		data := make([]byte, 0, size)
		for _, t := range terms {
			data = append(data, t.Parts()[i].Data...)
		}
		joined[i] = Part{Name: p.Name, DType: p.DType, Shape: shape, Data: data}
	}
	return openNamed(name, total, cols, joined)
}

// openNamed opens parts of the codec called name, or of a dtype that can be read but not fitted (F8, integers).
func openNamed(name string, rows, cols int, parts []Part) (Term, error) {
	if c, err := Parse(name); err == nil {
		return c.Open(rows, cols, parts)
	}
	if len(parts) != 1 {
		return nil, fmt.Errorf("unknown codec %q", name)
	}
	return Dense(name, parts[0].DType, rows, cols, parts[0].Data)
}

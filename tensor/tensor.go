// Package tensor holds the two shapes in which weights travel: Mat, a row-major float32 window on which all the maths is done,
// and Tensor, bytes as a file stores them. It also converts between the two for every scalar dtype.
package tensor

// Mat is a row-major window of float32: element (r, c) is Data[r*Stride+c].
type Mat struct {
	Rows, Cols, Stride int
	Data               []float32
}

// NewMat returns a zeroed rows × cols matrix.
func NewMat(rows, cols int) Mat {
	return Mat{Rows: rows, Cols: cols, Stride: cols, Data: make([]float32, rows*cols)}
}

// Of wraps data (length rows*cols) as a matrix without copying.
func Of(rows, cols int, data []float32) Mat {
	if len(data) < rows*cols {
		panic("tensor: slice shorter than rows*cols")
	}
	return Mat{Rows: rows, Cols: cols, Stride: cols, Data: data}
}

// Row returns row r; it aliases m.
func (m Mat) Row(r int) []float32 { return m.Data[r*m.Stride : r*m.Stride+m.Cols] }

// Slice returns rows [r0, r1) of m; it aliases m.
func (m Mat) Slice(r0, r1 int) Mat {
	if r0 == r1 {
		return Mat{Cols: m.Cols, Stride: m.Stride}
	}
	return Mat{Rows: r1 - r0, Cols: m.Cols, Stride: m.Stride, Data: m.Data[r0*m.Stride : (r1-1)*m.Stride+m.Cols]}
}

// Tensor is a named tensor as a file stores it: Data holds the elements of Shape (outermost first, as PyTorch
// counts) in row-major order, laid out as DType says. Block dtypes run along the last dimension.
type Tensor struct {
	Name  string
	DType DType
	Shape []int
	Data  []byte
}

// Elements returns the product of shape; a scalar (empty shape) has one element.
func Elements(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}

// Bytes returns the exact stored size of a tensor of dtype d and this shape. The last dimension of a block dtype must be a multiple of its block.
func Bytes(d DType, shape []int) int64 {
	block, bytes := d.Block()
	return int64(Elements(shape)) / int64(block) * int64(bytes)
}

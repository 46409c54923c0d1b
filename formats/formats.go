// Package formats moves tensors between files and memory: safetensors (single, sharded), GGUF (single, split), and the atomic
// writing that all of Pith's output goes through. It knows bytes, names and shapes; it knows no maths and no models.
package formats

import "pith/tensor"

// Info is what a file's header says about one tensor.
type Info struct {
	Name  string
	DType tensor.DType
	Shape []int // outermost first (PyTorch order), also for GGUF
	Bytes int64 // exact stored size
	File  string
}

// Source is a checkpoint's tensors, read lazily: opening one reads headers only.
type Source interface {
	Names() []string                                 // sorted
	Info(name string) (Info, error)                  // error names the file if there is no such tensor
	ReadAt(name string, buf []byte, off int64) error // fills buf from byte off of the tensor's data; safe for concurrent use
	Close() error
}

// Read returns the whole tensor called name.
func Read(s Source, name string) (tensor.Tensor, error) {
	info, err := s.Info(name)
	if err != nil {
		return tensor.Tensor{}, err
	}
	t := tensor.Tensor{Name: name, DType: info.DType, Shape: info.Shape, Data: make([]byte, info.Bytes)}
	return t, s.ReadAt(name, t.Data, 0)
}

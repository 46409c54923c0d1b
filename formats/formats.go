// Package formats moves tensors between files and memory: safetensors (single, sharded), GGUF (single, split), and the atomic
// writing that all of Pith's output goes through. It knows bytes, names and shapes; it knows no maths and no models.
//
// Every file is hostile until its header has been scanned: no length is trusted before it was compared with the bytes that are
// there, so memory stays a small multiple of the file's size, and no input panics. Tensor data is read by pread into the caller's
// buffer, never mapped: a file that shrinks while it is open is an error, not a SIGBUS.
package formats

import (
	"io"

	"pith/tensor"
)

// Info is what a file's header says about one tensor.
type Info struct {
	Name  string
	DType tensor.DType
	Shape []int // outermost first (PyTorch order), also for GGUF; shared, not to be changed
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

// LazyTensor is a tensor that a writer asks for when its turn comes. Info.Name, DType and Shape say what will be written
// (Bytes and File are ignored); exactly one of Data and Write is set.
type LazyTensor struct {
	Info  Info
	Data  func() ([]byte, error)  // the whole tensor's bytes
	Write func(w io.Writer) error // streams them, for tensors too large to hold
}

// Lazy returns the tensor called name of s for a writer: its bytes are read when the writer gets to them.
func Lazy(s Source, name string) (LazyTensor, error) {
	info, err := s.Info(name)
	if err != nil {
		return LazyTensor{}, err
	}
	write := func(w io.Writer) error {
		buf := make([]byte, min(info.Bytes, 1<<20))
		for off := int64(0); off < info.Bytes; off += int64(len(buf)) {
			buf = buf[:min(int64(len(buf)), info.Bytes-off)]
			if err := s.ReadAt(name, buf, off); err != nil {
				return err
			}
			if _, err := w.Write(buf); err != nil {
				return err
			}
		}
		return nil
	}
	return LazyTensor{Info: info, Write: write}, nil
}

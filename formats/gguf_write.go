package formats

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
)

// WriteGGUF writes a GGUF v3 file, atomically and one tensor at a time: metadata and tensors in the order given, each tensor padded to
// 32 bytes (or to general.alignment if kv has it). Shapes are in PyTorch order; a block dtype's last dimension must be whole blocks.
// Names are at most 63 bytes and shapes at most 4 dimensions; a scalar becomes a vector of one element, since gguf-py cannot read it otherwise. The same input gives the same bytes.
func WriteGGUF(path string, kv []KV, tensors []LazyTensor) error {
	header, alignment, err := ggufHeaderBytes(kv, tensors)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return WriteFileAtomic(path, func(w io.Writer) error {
		if _, err := w.Write(header); err != nil {
			return err
		}
		zeros := make([]byte, alignment)
		for _, t := range tensors {
			if err := writeTensor(w, t); err != nil {
				return err
			}
			size, _ := storedBytes(t.Info.DType, t.Info.Shape)
			if _, err := w.Write(zeros[:alignUp(size, alignment)-size]); err != nil {
				return err
			}
		}
		return nil
	})
}

// ggufHeaderBytes returns everything before the data, padding included.
func ggufHeaderBytes(kv []KV, tensors []LazyTensor) (header []byte, alignment int64, err error) {
	if len(kv) > maxGGUFKVs || len(tensors) > maxGGUFTensors {
		return nil, 0, fmt.Errorf("%d metadata entries and %d tensors are over the limits of %d and %d", len(kv), len(tensors), maxGGUFKVs, maxGGUFTensors)
	}
	le := binary.LittleEndian
	alignment = ggufAlignment
	b := le.AppendUint32([]byte(ggufMagic), ggufVersion)
	b = le.AppendUint64(b, uint64(len(tensors)))
	b = le.AppendUint64(b, uint64(len(kv)))
	keys := make(map[string]bool, len(kv))
	for _, entry := range kv {
		if keys[entry.Key] {
			return nil, 0, fmt.Errorf("metadata %q is there twice", entry.Key)
		}
		keys[entry.Key] = true
		if entry.Key == "general.alignment" {
			if alignment, err = checkAlignment(entry.Value); err != nil {
				return nil, 0, err
			}
		}
		if b, err = appendKV(b, entry); err != nil {
			return nil, 0, err
		}
	}
	names, offset := make(map[string]bool, len(tensors)), int64(0)
	for i := range tensors {
		info := &tensors[i].Info
		if names[info.Name] {
			return nil, 0, fmt.Errorf("tensor %q is there twice", info.Name)
		}
		names[info.Name] = true
		var size int64
		if b, size, err = appendTensorInfo(b, info, offset); err != nil {
			return nil, 0, fmt.Errorf("tensor %q: %w", info.Name, err)
		}
		if offset = alignUp(offset+size, alignment); offset < 0 {
			return nil, 0, fmt.Errorf("tensor %q: the file would be larger than 2^63 bytes", info.Name)
		}
	}
	if len(b) > maxGGUFHeader {
		return nil, 0, fmt.Errorf("a header of %d bytes is over the limit of %d", len(b), maxGGUFHeader)
	}
	return append(b, make([]byte, alignUp(int64(len(b)), alignment)-int64(len(b)))...), alignment, nil
}

func appendTensorInfo(b []byte, info *Info, offset int64) (_ []byte, size int64, err error) {
	if len(info.Name) > maxGGUFTensorName || strings.IndexByte(info.Name, 0) >= 0 {
		return nil, 0, fmt.Errorf("GGUF allows names of at most %d bytes without NUL", maxGGUFTensorName)
	}
	if len(info.Shape) > 4 {
		return nil, 0, fmt.Errorf("GGUF allows 4 dimensions, shape is %v", info.Shape)
	}
	id, err := ggmlTypeID(info.DType)
	if err != nil {
		return nil, 0, err
	}
	if size, err = storedBytes(info.DType, info.Shape); err != nil {
		return nil, 0, err
	}
	shape := info.Shape
	if len(shape) == 0 {
		shape = []int{1}
	}
	le := binary.LittleEndian
	b = appendGGUFString(b, info.Name)
	b = le.AppendUint32(b, uint32(len(shape)))
	for _, n := range slices.Backward(shape) {
		b = le.AppendUint64(b, uint64(n))
	}
	b = le.AppendUint32(b, id)
	return le.AppendUint64(b, uint64(offset)), size, nil
}

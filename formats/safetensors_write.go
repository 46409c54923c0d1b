package formats

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/nlpodyssey/safetensors"

	"pith/tensor"
)

// WriteSafetensors writes the tensors to path, atomically and one at a time. The bytes are those of the reference writer (Rust):
// tensors by dtype from U64 down to BOOL then by name, header keys in the same order after __metadata__, compact JSON padded
// with spaces to a multiple of 8. Metadata keys are sorted (the reference's order is random). The same input gives the same bytes.
func WriteSafetensors(path string, tensors []LazyTensor, metadata map[string]string) error {
	ordered := slices.Clone(tensors)
	slices.SortFunc(ordered, func(a, b LazyTensor) int { return layoutOrder(a.Info, b.Info) })
	header, err := safetensorsHeaderBytes(ordered, metadata)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return WriteFileAtomic(path, func(w io.Writer) error {
		if _, err := w.Write(header); err != nil {
			return err
		}
		for _, t := range ordered {
			if err := writeTensor(w, t); err != nil {
				return err
			}
		}
		return nil
	})
}

// safetensorsHeaderBytes returns the length prefix and the padded JSON for tensors already in layout order.
func safetensorsHeaderBytes(tensors []LazyTensor, metadata map[string]string) ([]byte, error) {
	b := append(make([]byte, 8, 8+128*len(tensors)), '{')
	if len(metadata) > 0 {
		b = append(b, `"__metadata__":{`...)
		for i, key := range slices.Sorted(maps.Keys(metadata)) {
			if !utf8.ValidString(key) || !utf8.ValidString(metadata[key]) {
				return nil, fmt.Errorf("metadata %q is not UTF-8", key)
			}
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendJSONString(b, key), ':')
			b = appendJSONString(b, metadata[key])
		}
		b = append(b, '}')
	}
	names, offset := make(map[string]bool, len(tensors)), int64(0)
	for i := range tensors {
		info := &tensors[i].Info
		size, err := checkWritable(info)
		if err != nil {
			return nil, err
		}
		if names[info.Name] {
			return nil, fmt.Errorf("tensor %q is there twice", info.Name)
		}
		names[info.Name] = true
		if len(b) > 9 {
			b = append(b, ',')
		}
		b = append(appendJSONString(b, info.Name), `:{"dtype":"`...)
		b = append(append(b, info.DType.String()...), `","shape":[`...)
		for k, n := range info.Shape {
			if k > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, int64(n), 10)
		}
		b = append(strconv.AppendInt(append(b, `],"data_offsets":[`...), offset, 10), ',')
		offset += size
		b = append(strconv.AppendInt(b, offset, 10), "]}"...)
		if offset < 0 {
			return nil, fmt.Errorf("tensor %q: the file would be larger than 2^63 bytes", info.Name)
		}
	}
	b = append(b, '}')
	for len(b)%8 != 0 {
		b = append(b, ' ')
	}
	if len(b)-8 > maxSafetensorsHeader {
		return nil, fmt.Errorf("header of %d bytes is over the format's limit of %d: write more, smaller shards", len(b)-8, maxSafetensorsHeader)
	}
	binary.LittleEndian.PutUint64(b, uint64(len(b)-8))
	return b, secondOpinion(b[8:], tensors, metadata)
}

// checkWritable returns the tensor's size if safetensors can hold it.
func checkWritable(info *Info) (int64, error) {
	switch {
	case !utf8.ValidString(info.Name):
		return 0, fmt.Errorf("tensor name %q is not UTF-8", info.Name)
	case info.Name == "__metadata__":
		return 0, fmt.Errorf("no tensor can be called __metadata__ in safetensors")
	case len(info.Shape) > maxDims:
		return 0, fmt.Errorf("tensor %q has %d dimensions, over our limit of %d", info.Name, len(info.Shape), maxDims)
	case !info.DType.Scalar():
		return 0, fmt.Errorf("tensor %q: safetensors has no dtype %v: write GGUF, or decode it first", info.Name, info.DType)
	}
	size, err := storedBytes(info.DType, info.Shape)
	if err != nil {
		return 0, fmt.Errorf("tensor %q: %w", info.Name, err)
	}
	return size, nil
}

// secondOpinion has the header that is about to be written parsed by another implementation, github.com/nlpodyssey/safetensors, and
// compares what it understood with what was meant: names, dtypes, shapes, offsets, metadata.
//
// The library is not the writer itself because its header lists tensors by name, escapes <, > and &, and lacks the F4, F6, F8 and C64
// dtypes; nor is it the reader in front, because it wants the file in memory and keeps the last of two equal keys. Dtypes it lacks are shown
// to it as U8; their names are compared by our own reader's tests.
func secondOpinion(header []byte, tensors []LazyTensor, metadata map[string]string) error {
	// Inside a name quotes are escaped, so the text "dtype":"… can only be the field.
	for d := tensor.Bool; d.Scalar(); d++ {
		if _, err := safetensors.ParseDType(d.String()); err != nil {
			header = bytes.ReplaceAll(header, []byte(`"dtype":"`+d.String()+`"`), []byte(`"dtype":"U8"`))
		}
	}
	var m safetensors.Metadata
	if err := json.Unmarshal(header, &m); err != nil {
		return fmt.Errorf("a second parser cannot read the header: %w", err)
	}
	got := m.Tensors()
	if len(got) != len(tensors) || !maps.Equal(m.Metadata(), metadata) {
		return fmt.Errorf("a second parser sees %d tensors instead of %d, or other metadata", len(got), len(tensors))
	}
	offset := uint64(0)
	for _, t := range tensors {
		size, _ := storedBytes(t.Info.DType, t.Info.Shape)
		g := got[t.Info.Name]
		dtype, err := safetensors.ParseDType(t.Info.DType.String())
		if err != nil {
			dtype = safetensors.U8
		}
		same := g != nil && g.DType == dtype && slices.EqualFunc(g.Shape, t.Info.Shape, func(a uint64, b int) bool { return a == uint64(b) }) &&
			g.DataOffsets == [2]uint64{offset, offset + uint64(size)}
		if !same {
			return fmt.Errorf("tensor %q: a second parser reads the header differently", t.Info.Name)
		}
		offset += uint64(size)
	}
	return nil
}

// writeTensor writes the bytes of t and checks that they are as many as its shape says.
func writeTensor(w io.Writer, t LazyTensor) error {
	want, err := storedBytes(t.Info.DType, t.Info.Shape)
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.Info.Name, err)
	}
	c := &countingWriter{w: w}
	switch {
	case t.Write != nil:
		err = t.Write(c)
	case t.Data != nil:
		var data []byte
		if data, err = t.Data(); err == nil {
			_, err = c.Write(data)
		}
	default:
		panic("formats: LazyTensor with neither Data nor Write")
	}
	if err != nil {
		return fmt.Errorf("tensor %q: %w", t.Info.Name, err)
	}
	if c.n != want {
		return fmt.Errorf("tensor %q: %d bytes were given for %v %v, which has %d", t.Info.Name, c.n, t.Info.DType, t.Info.Shape, want)
	}
	return nil
}

type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

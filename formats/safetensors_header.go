package formats

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"pith/tensor"
)

// Limits of a safetensors header. The reference implementation stops at the same number of header bytes.
const (
	maxSafetensorsHeader  = 100_000_000
	maxSafetensorsTensors = 1 << 20
	maxDims               = 16
)

const damaged = "the file is damaged or was not written by a safetensors library: download it again"

// safetensorsHeader is a scanned header: tensors in the order of their bytes, which cover the data without holes or overlaps.
type safetensorsHeader struct {
	metadata map[string]string
	tensors  []Info
	starts   []int64 // offset of each tensor from the start of the file
}

// readSafetensorsHeader reads and scans the header of f. Errors name the file.
func readSafetensorsHeader(f *file) (*safetensorsHeader, error) {
	if f.size < 8 {
		return nil, fmt.Errorf("%s: %d bytes is too short for a safetensors file: download it again, or re-run what wrote it", f.path, f.size)
	}
	var prefix [8]byte
	if err := f.readFull(prefix[:], 0); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint64(prefix[:])
	switch {
	case string(prefix[:4]) == ggufMagic:
		return nil, fmt.Errorf("%s: this is a GGUF file, not safetensors: name it .gguf", f.path)
	case n > maxSafetensorsHeader:
		return nil, fmt.Errorf("%s: header of %d bytes is over the format's limit of %d: %s", f.path, n, maxSafetensorsHeader, damaged)
	case int64(n) > f.size-8:
		return nil, fmt.Errorf("%s: the header should have %d bytes but only %d follow: the file was cut short, download it again, or re-run what wrote it", f.path, n, f.size-8)
	}
	text, err := f.text(8, int64(n))
	if err != nil {
		return nil, err
	}
	h, err := scanSafetensorsHeader(text, f.path)
	if err != nil {
		return nil, fmt.Errorf("%s: safetensors header: %w: %s", f.path, err, damaged)
	}
	if err := h.place(8+int64(n), f); err != nil {
		return nil, err
	}
	return h, nil
}

// scanSafetensorsHeader reads the JSON. Starts are still relative to the data; layout and repeated tensor names are not checked yet.
func scanSafetensorsHeader(text, path string) (*safetensorsHeader, error) {
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("not UTF-8")
	}
	if text == "" || text[0] != '{' {
		return nil, fmt.Errorf("does not start with {")
	}
	j := &jsonScanner{s: text}
	n := min(strings.Count(text, `"data_offsets"`), maxSafetensorsTensors)
	h := &safetensorsHeader{tensors: make([]Info, 0, n), starts: make([]int64, 0, n)}
	var dims []int // all shapes lie in here, one allocation for many
	err := j.object(func(key string) error {
		if key == "__metadata__" {
			if h.metadata != nil {
				return fmt.Errorf("%q is there twice", key)
			}
			var err error
			h.metadata, err = scanSafetensorsMetadata(j)
			return err
		}
		if len(h.tensors) == maxSafetensorsTensors {
			return fmt.Errorf("more than %d tensors", maxSafetensorsTensors)
		}
		info, start, err := scanTensorInfo(j, &dims)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", key, err)
		}
		info.Name, info.File = key, path
		h.tensors, h.starts = append(h.tensors, info), append(h.starts, start)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return h, j.end()
}

func scanSafetensorsMetadata(j *jsonScanner) (map[string]string, error) {
	metadata := map[string]string{}
	err := j.object(func(key string) error {
		if _, again := metadata[key]; again {
			return fmt.Errorf("__metadata__ %q is there twice", key)
		}
		value, err := j.str()
		metadata[key] = value
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("__metadata__: %w", err)
	}
	return metadata, nil
}

// scanTensorInfo reads {"dtype": …, "shape": […], "data_offsets": [start, end]}, these keys exactly, in any order.
func scanTensorInfo(j *jsonScanner, dims *[]int) (info Info, start int64, err error) {
	var seen struct{ dtype, shape, offsets bool }
	once := func(seen *bool, key string) error {
		if *seen {
			return fmt.Errorf("%q is there twice", key)
		}
		*seen = true
		return nil
	}
	var end int64
	err = j.object(func(key string) error {
		switch key {
		case "dtype":
			if err := once(&seen.dtype, key); err != nil {
				return err
			}
			info.DType, err = scanDType(j)
			return err
		case "shape":
			if err := once(&seen.shape, key); err != nil {
				return err
			}
			info.Shape, err = scanShape(j, dims)
			return err
		case "data_offsets":
			if err := once(&seen.offsets, key); err != nil {
				return err
			}
			start, end, err = scanOffsets(j)
			return err
		}
		return fmt.Errorf("unknown field %q", key)
	})
	if err != nil {
		return info, 0, err
	}
	if !seen.dtype || !seen.shape || !seen.offsets {
		return info, 0, fmt.Errorf("dtype, shape or data_offsets is missing")
	}
	if info.Bytes, err = storedBytes(info.DType, info.Shape); err != nil {
		return info, 0, err
	}
	if end < start || end-start != info.Bytes {
		return info, 0, fmt.Errorf("data_offsets [%d, %d] do not span the %d bytes of %v %v", start, end, info.Bytes, info.DType, info.Shape)
	}
	return info, start, nil
}

func scanDType(j *jsonScanner) (tensor.DType, error) {
	name, err := j.str()
	if err != nil {
		return tensor.Invalid, err
	}
	d, err := tensor.ParseDType(name)
	if err == nil && !d.Scalar() {
		err = fmt.Errorf("dtype %q is not one of safetensors", name)
	}
	return d, err
}

func scanShape(j *jsonScanner, dims *[]int) ([]int, error) {
	from := len(*dims)
	err := j.array(func() error {
		n, err := j.natural()
		if err == nil && int64(int(n)) != n {
			err = fmt.Errorf("dimension %d is too large", n)
		}
		if err == nil && len(*dims)-from == maxDims {
			err = fmt.Errorf("more than %d dimensions", maxDims)
		}
		*dims = append(*dims, int(n))
		return err
	})
	return (*dims)[from:len(*dims):len(*dims)], err
}

func scanOffsets(j *jsonScanner) (start, end int64, err error) {
	var at [2]int64
	n := 0
	err = j.array(func() error {
		if n == 2 {
			return fmt.Errorf("data_offsets has more than 2 numbers")
		}
		var err error
		at[n], err = j.natural()
		n++
		return err
	})
	if err == nil && n != 2 {
		err = fmt.Errorf("data_offsets has %d numbers, not 2", n)
	}
	return at[0], at[1], err
}

// place sorts the tensors by offset, checks that they cover the data exactly (a file cannot then be two formats at once, and
// no byte can be read twice), and makes the offsets absolute.
func (h *safetensorsHeader) place(dataStart int64, f *file) error {
	h.sort()
	next := int64(0)
	for i := range h.tensors {
		info, start := &h.tensors[i], h.starts[i]
		switch {
		case start < next:
			return fmt.Errorf("%s: tensor %q overlaps another by %d bytes: %s", f.path, info.Name, next-start, damaged)
		case start > next:
			return fmt.Errorf("%s: %d bytes before tensor %q belong to no tensor: %s", f.path, start-next, info.Name, damaged)
		case info.Bytes > f.size-dataStart-start:
			return fmt.Errorf("%s: tensor %q needs bytes %d to %d but the file ends at %d: it was cut short, download it again, or re-run what wrote it",
				f.path, info.Name, dataStart+start, dataStart+start+info.Bytes, f.size)
		}
		next += info.Bytes
		h.starts[i] = dataStart + start
	}
	if dataStart+next != f.size {
		return fmt.Errorf("%s: %d bytes follow the last tensor: %s", f.path, f.size-dataStart-next, damaged)
	}
	return nil
}

// sort orders the tensors by start, empty ones before the one that starts at the same place. Most files are sorted already.
func (h *safetensorsHeader) sort() {
	order := make([]int, len(h.tensors))
	for i := range order {
		order[i] = i
	}
	compare := func(a, b int) int {
		x, y := &h.tensors[a], &h.tensors[b]
		return cmp.Or(cmp.Compare(h.starts[a], h.starts[b]), cmp.Compare(x.Bytes, y.Bytes), cmp.Compare(x.Name, y.Name))
	}
	if slices.IsSortedFunc(order, compare) {
		return
	}
	slices.SortFunc(order, compare)
	tensors, starts := make([]Info, len(order)), make([]int64, len(order))
	for i, k := range order {
		tensors[i], starts[i] = h.tensors[k], h.starts[k]
	}
	h.tensors, h.starts = tensors, starts
}

package formats

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
)

// GGUF is a GGUF model, one file or several shards, opened for lazy reading. It is a Source; names are those of the file,
// shapes are reversed into PyTorch order, and the metadata is the first shard's.
type GGUF struct {
	table
	kv   []KV
	keys map[string]int
}

// OpenGGUF opens a .gguf file; name-00001-of-0000N.gguf opens all N shards. Headers are scanned, tensor data is not read.
func OpenGGUF(path string) (*GGUF, error) {
	g := &GGUF{table: table{path: path}}
	if err := g.openAll(path); err != nil {
		g.Close()
		return nil, err
	}
	return g, nil
}

// NewGGUF scans a GGUF file of size bytes that r gives; name stands for its path in errors. Close does not close r.
func NewGGUF(name string, r io.ReaderAt, size int64) (*GGUF, error) {
	g := &GGUF{table: table{path: name}}
	f := &file{path: name, r: r, size: size, close: func() error { return nil }}
	h, err := g.scan(f)
	if err != nil {
		return nil, err
	}
	g.kv, g.keys = h.kv, h.keys
	return g, nil
}

// ggufHeader is what precedes the data.
type ggufHeader struct {
	kv        []KV
	keys      map[string]int
	tensors   []Info
	offsets   []int64 // from the start of the data
	dataStart int64
	dataEnd   int64 // of the last tensor, padding included
}

// scan reads the header of f, which g then owns, and enters its tensors.
func (g *GGUF) scan(f *file) (*ggufHeader, error) {
	g.files = append(g.files, f)
	h, err := readGGUFHeader(f)
	if err != nil {
		return nil, err
	}
	g.grow(len(h.tensors))
	for i, info := range h.tensors {
		if err := g.add(info, place{file: f, offset: h.dataStart + h.offsets[i]}); err != nil {
			return nil, err
		}
	}
	if f.size > h.dataEnd && len(h.tensors) > 0 {
		g.warnf("%s: %d bytes follow the last tensor and are not read", f.path, f.size-h.dataEnd)
	}
	return h, nil
}

func readGGUFHeader(f *file) (*ggufHeader, error) {
	r := &ggufScanner{r: bufio.NewReaderSize(io.NewSectionReader(f.r, 0, f.size), int(min(f.size, 1<<16))), left: f.size, size: f.size}
	nTensors, nKV, err := r.preamble()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, err)
	}
	h := &ggufHeader{keys: map[string]int{}}
	if err := r.readKVs(h, nKV); err != nil {
		return nil, fmt.Errorf("%s: GGUF metadata: %w", f.path, err)
	}
	alignment := int64(ggufAlignment)
	if i, ok := h.keys["general.alignment"]; ok {
		if alignment, err = checkAlignment(h.kv[i].Value); err != nil {
			return nil, fmt.Errorf("%s: GGUF metadata: %w: %s", f.path, err, ggufDamaged)
		}
	}
	end, err := r.readTensorInfos(h, nTensors, alignment, f.path)
	if err != nil {
		return nil, fmt.Errorf("%s: GGUF tensor table: %w", f.path, err)
	}
	h.dataStart = alignUp(r.size-r.left, alignment)
	h.dataEnd = h.dataStart + end
	for i, info := range h.tensors {
		if info.Bytes > 0 && h.dataStart+h.offsets[i]+info.Bytes > f.size {
			return nil, fmt.Errorf("%s: tensor %q needs bytes %d to %d but the file ends at %d: it was cut short, download it again, or re-run what wrote it",
				f.path, info.Name, h.dataStart+h.offsets[i], h.dataStart+h.offsets[i]+info.Bytes, f.size)
		}
	}
	return h, nil
}

func alignUp(n, alignment int64) int64 { return (n + alignment - 1) &^ (alignment - 1) }

const ggufDamaged = "the file is damaged or was made by a faulty tool: download it again, or convert the model again"

// ggufScanner reads the fields of a GGUF header. No read is larger than what is left of the file; after the first error all reads
// return zeros and err keeps it.
type ggufScanner struct {
	r          *bufio.Reader
	size, left int64
	err        error
	scratch    [1 << 12]byte
}

func (r *ggufScanner) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, args...)
	}
}

// need reports whether n elements of size bytes can still come, and fails if not.
func (r *ggufScanner) need(what string, n uint64, size int64) bool {
	if r.err == nil && n > uint64(r.left/size) {
		r.fail("%s of %d elements of at least %d bytes at byte %d, but the file ends at %d: it was cut short or is damaged, download it again",
			what, n, size, r.size-r.left, r.size)
	}
	if r.err == nil && r.size-r.left+int64(n)*size > maxGGUFHeader {
		r.fail("the header is over our limit of %d bytes", maxGGUFHeader)
	}
	return r.err == nil
}

// fill reads len(b) bytes, which need has allowed.
func (r *ggufScanner) fill(b []byte) {
	if r.err != nil {
		clear(b)
		return
	}
	n, err := io.ReadFull(r.r, b)
	r.left -= int64(n)
	if err != nil {
		r.fail("cannot read at byte %d: %w", r.size-r.left, err)
		clear(b)
	}
}

func (r *ggufScanner) u32() uint32 {
	if !r.need("a number", 1, 4) {
		return 0
	}
	r.fill(r.scratch[:4])
	return binary.LittleEndian.Uint32(r.scratch[:])
}

func (r *ggufScanner) u64() uint64 {
	if !r.need("a number", 1, 8) {
		return 0
	}
	r.fill(r.scratch[:8])
	return binary.LittleEndian.Uint64(r.scratch[:])
}

// str reads a string of at most limit bytes.
func (r *ggufScanner) str(limit uint64) string {
	n := r.u64()
	if n > limit {
		r.fail("a string of %d bytes at byte %d is over the limit of %d: %s", n, r.size-r.left, limit, ggufDamaged)
	}
	if !r.need("a string", n, 1) {
		return ""
	}
	if n <= uint64(len(r.scratch)) {
		r.fill(r.scratch[:n])
		return string(r.scratch[:n])
	}
	b := make([]byte, n)
	r.fill(b)
	return string(b)
}

// preamble reads magic, version and counts.
func (r *ggufScanner) preamble() (nTensors, nKV uint64, err error) {
	if r.left < 24 {
		return 0, 0, fmt.Errorf("%d bytes is too short for a GGUF file: download it again, or re-run what wrote it", r.size)
	}
	magic := r.u32()
	version := r.u32()
	switch {
	case r.err != nil:
		return 0, 0, r.err
	case magic == 0 && version == 0:
		return 0, 0, fmt.Errorf("the GGUF header is zeros: the tool that wrote the file did not finish, run it again")
	case string(binary.LittleEndian.AppendUint32(nil, magic)) != ggufMagic:
		return 0, 0, fmt.Errorf("not a GGUF file: it starts with %q", binary.LittleEndian.AppendUint32(nil, magic))
	case version&0xffff == 0 && version != 0:
		return 0, 0, fmt.Errorf("a big-endian GGUF file: convert it with gguf-py's gguf_convert_endian.py")
	case version < 2:
		return 0, 0, fmt.Errorf("GGUF version %d is not supported: convert the model again with a current converter", version)
	case version > ggufVersion:
		return 0, 0, fmt.Errorf("GGUF version %d is newer than we know (%d): update pith", version, ggufVersion)
	}
	nTensors, nKV = r.u64(), r.u64()
	// The smallest entry has a key or name of 1 or 0 bytes: 8+1+4+1 and 8+0+4+4+8.
	switch {
	case nKV > maxGGUFKVs || nKV > uint64(r.left/14):
		return 0, 0, fmt.Errorf("%d metadata entries do not fit the file or our limit of %d: %s", nKV, maxGGUFKVs, ggufDamaged)
	case nTensors > maxGGUFTensors || nTensors > uint64(r.left/24):
		return 0, 0, fmt.Errorf("%d tensors do not fit the file or our limit of %d: %s", nTensors, maxGGUFTensors, ggufDamaged)
	}
	return nTensors, nKV, r.err
}

func (r *ggufScanner) readKVs(h *ggufHeader, n uint64) error {
	for range n {
		key := r.str(maxGGUFKey)
		if r.err != nil {
			return r.err
		}
		if err := checkKey(key); err != nil {
			return fmt.Errorf("%w: %s", err, ggufDamaged)
		}
		if _, again := h.keys[key]; again {
			return fmt.Errorf("%q is there twice: %s", key, ggufDamaged)
		}
		v := r.value(r.u32())
		if r.err != nil {
			return fmt.Errorf("%q: %w", key, r.err)
		}
		h.keys[key] = len(h.kv)
		h.kv = append(h.kv, KV{key, v})
	}
	return nil
}

// value reads a value of the type that GGUF numbers id.
func (r *ggufScanner) value(id uint32) any {
	switch id {
	case ggufUint8:
		return numbers[uint8](r, 1)[0]
	case ggufInt8:
		return numbers[int8](r, 1)[0]
	case ggufUint16:
		return numbers[uint16](r, 1)[0]
	case ggufInt16:
		return numbers[int16](r, 1)[0]
	case ggufUint32:
		return numbers[uint32](r, 1)[0]
	case ggufInt32:
		return numbers[int32](r, 1)[0]
	case ggufFloat32:
		return numbers[float32](r, 1)[0]
	case ggufBool:
		return r.bools(1)[0]
	case ggufString:
		return r.str(maxGGUFString)
	case ggufArray:
		return r.array(r.u32(), r.u64())
	case ggufUint64:
		return numbers[uint64](r, 1)[0]
	case ggufInt64:
		return numbers[int64](r, 1)[0]
	case ggufFloat64:
		return numbers[float64](r, 1)[0]
	}
	r.fail("value type %d is not one of GGUF's: %s", id, ggufDamaged)
	return nil
}

func (r *ggufScanner) array(id uint32, n uint64) any {
	if n > maxGGUFArray {
		r.fail("an array of %d elements is over the limit of %d: %s", n, maxGGUFArray, ggufDamaged)
		return nil
	}
	switch id {
	case ggufUint8:
		return numbers[uint8](r, n)
	case ggufInt8:
		return numbers[int8](r, n)
	case ggufUint16:
		return numbers[uint16](r, n)
	case ggufInt16:
		return numbers[int16](r, n)
	case ggufUint32:
		return numbers[uint32](r, n)
	case ggufInt32:
		return numbers[int32](r, n)
	case ggufFloat32:
		return numbers[float32](r, n)
	case ggufBool:
		return r.bools(n)
	case ggufString:
		return r.strings(n)
	case ggufArray:
		r.fail("arrays of arrays are not supported, by ggml neither")
		return nil
	case ggufUint64:
		return numbers[uint64](r, n)
	case ggufInt64:
		return numbers[int64](r, n)
	case ggufFloat64:
		return numbers[float64](r, n)
	}
	r.fail("array of type %d, which is not one of GGUF's: %s", id, ggufDamaged)
	return nil
}

// numbers reads n numbers; if it fails it returns at least one zero.
func numbers[T uint8 | int8 | uint16 | int16 | uint32 | int32 | uint64 | int64 | float32 | float64](r *ggufScanner, n uint64) []T {
	var zero T
	size := binary.Size(zero)
	if !r.need("an array", n, int64(size)) {
		return make([]T, 1)
	}
	v := make([]T, n)
	for rest := v; len(rest) > 0; {
		k := min(len(rest), len(r.scratch)/size)
		r.fill(r.scratch[:k*size])
		if _, err := binary.Decode(r.scratch[:k*size], binary.LittleEndian, rest[:k]); err != nil {
			r.fail("%w", err)
		}
		rest = rest[k:]
	}
	return v
}

func (r *ggufScanner) bools(n uint64) []bool {
	raw := numbers[uint8](r, n)
	v := make([]bool, len(raw))
	for i, b := range raw {
		if b > 1 {
			r.fail("a bool has the value %d: %s", b, ggufDamaged)
		}
		v[i] = b == 1
	}
	return v
}

func (r *ggufScanner) strings(n uint64) []string {
	if !r.need("an array of strings", n, 8) {
		return nil
	}
	v := make([]string, n)
	for i := range v {
		if v[i] = r.str(maxGGUFString); r.err != nil {
			return nil
		}
	}
	return v
}

// readTensorInfos reads the tensor table and returns the end of the last tensor, relative to the data, padding included.
func (r *ggufScanner) readTensorInfos(h *ggufHeader, n uint64, alignment int64, path string) (end int64, err error) {
	h.tensors, h.offsets = make([]Info, 0, n), make([]int64, 0, n)
	for range n {
		info, offset, err := r.tensorInfo()
		if err != nil {
			return 0, err
		}
		info.File = path
		if offset != uint64(end) {
			return 0, fmt.Errorf("tensor %q starts at %d instead of %d, where the one before it ends: %s", info.Name, offset, end, ggufDamaged)
		}
		if info.Bytes > r.size-end {
			return 0, fmt.Errorf("tensor %q needs %d bytes at %d of the data but the file has only %d in all: it was cut short, download it again, or re-run what wrote it",
				info.Name, info.Bytes, offset, r.size)
		}
		// Cannot overflow: end stays below twice the file's size plus padding.
		end = alignUp(end+info.Bytes, alignment)
		h.tensors, h.offsets = append(h.tensors, info), append(h.offsets, int64(offset))
	}
	return end, nil
}

func (r *ggufScanner) tensorInfo() (info Info, offset uint64, err error) {
	info.Name = r.str(maxGGUFTensorName)
	nDims := r.u32()
	if r.err == nil && nDims > 4 {
		return info, 0, fmt.Errorf("tensor %q has %d dimensions, GGUF allows 4: %s", info.Name, nDims, ggufDamaged)
	}
	for range nDims {
		n := r.u64()
		if int64(n) < 0 || int64(int(n)) != int64(n) {
			return info, 0, fmt.Errorf("tensor %q has a dimension of %d: %s", info.Name, n, ggufDamaged)
		}
		info.Shape = append(info.Shape, int(n))
	}
	slices.Reverse(info.Shape)
	id := r.u32()
	offset = r.u64()
	if r.err != nil {
		return info, 0, r.err
	}
	if strings.IndexByte(info.Name, 0) >= 0 {
		return info, 0, fmt.Errorf("tensor name %q has a NUL byte: %s", info.Name, ggufDamaged)
	}
	if info.DType, err = ggmlType(id); err == nil {
		info.Bytes, err = storedBytes(info.DType, info.Shape)
	}
	if err != nil {
		err = fmt.Errorf("tensor %q: %w", info.Name, err)
	}
	return info, offset, err
}

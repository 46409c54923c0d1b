package formats

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"

	"pith/tensor"
)

// table is the part all readers share: tensors found in the headers of one or more open files, looked up by name and read by pread.
type table struct {
	path     string // what the user opened
	files    []*file
	infos    []Info // in file order
	places   []place
	byName   map[string]int
	warnings []string
}

// place is where a tensor's bytes lie.
type place struct {
	file   *file
	offset int64 // from the start of the file
}

// file is an open regular file whose size was taken when it was opened.
type file struct {
	path  string
	r     io.ReaderAt
	size  int64
	close func() error
}

// openFile opens a regular file; anything else (a pipe would hang, a device never ends) is refused.
func openFile(path string) (*file, error) {
	st, err := os.Stat(path)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%s: no such file: check the path, or download it again: %w", path, err)
		}
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	// Once more: a writer may have renamed a new file to path since.
	if st, err = f.Stat(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &file{path: path, r: f, size: st.Size(), close: f.Close}, nil
}

// readFull fills buf from offset off.
func (f *file) readFull(buf []byte, off int64) error {
	n, err := f.r.ReadAt(buf, off)
	if n == len(buf) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		return f.short()
	}
	return fmt.Errorf("%s: %w", f.path, err)
}

// text returns n bytes from offset off as a string.
func (f *file) text(off, n int64) (string, error) {
	var b strings.Builder
	b.Grow(int(n))
	if m, err := io.CopyBuffer(&b, io.NewSectionReader(f.r, off, n), make([]byte, max(1, min(n, 1<<16)))); err != nil {
		return "", fmt.Errorf("%s: %w", f.path, err)
	} else if m != n {
		return "", f.short()
	}
	return b.String(), nil
}

// short is the error for a file that lost bytes after it was opened.
func (f *file) short() error {
	return fmt.Errorf("%s: cut short while open (%d bytes were expected): download it again, or re-run what wrote it", f.path, f.size)
}

// grow makes room for n more tensors.
func (t *table) grow(n int) {
	t.infos, t.places = slices.Grow(t.infos, n), slices.Grow(t.places, n)
	if len(t.byName) == 0 {
		t.byName = make(map[string]int, n)
	}
}

// add enters a tensor; a name that is there already is an error naming both files.
func (t *table) add(info Info, p place) error {
	if i, ok := t.byName[info.Name]; ok {
		if t.infos[i].File == info.File {
			return fmt.Errorf("%s: tensor %q is there twice: the file is malformed, download it again", info.File, info.Name)
		}
		return fmt.Errorf("%s: tensor %q is in %s too: the shards do not belong together, download them again", info.File, info.Name, t.infos[i].File)
	}
	t.byName[info.Name] = len(t.infos)
	t.infos = append(t.infos, info)
	t.places = append(t.places, p)
	return nil
}

// Names returns the tensors' names, sorted.
func (t *table) Names() []string {
	names := make([]string, len(t.infos))
	for i := range t.infos {
		names[i] = t.infos[i].Name
	}
	slices.Sort(names)
	return names
}

// Tensors returns what the headers say about every tensor, in the order of the bytes in the files.
func (t *table) Tensors() []Info { return slices.Clone(t.infos) }

// Info returns what the header says about the tensor called name.
func (t *table) Info(name string) (Info, error) {
	i, ok := t.byName[name]
	if !ok {
		return Info{}, fmt.Errorf("%s: no tensor %q", t.path, name)
	}
	return t.infos[i], nil
}

// ReadAt fills buf from byte off of the tensor's data. It is safe for concurrent use.
func (t *table) ReadAt(name string, buf []byte, off int64) error {
	i, ok := t.byName[name]
	if !ok {
		return fmt.Errorf("%s: no tensor %q", t.path, name)
	}
	info, p := &t.infos[i], t.places[i]
	if off < 0 || off > info.Bytes || int64(len(buf)) > info.Bytes-off {
		return fmt.Errorf("%s: tensor %q: read of %d bytes at %d is outside its %d bytes", info.File, name, len(buf), off, info.Bytes)
	}
	if len(buf) == 0 {
		return nil
	}
	if err := p.file.readFull(buf, p.offset+off); err != nil {
		return fmt.Errorf("tensor %q: %w", name, err)
	}
	return nil
}

// Files returns the paths of the files that hold the tensors, in shard order.
func (t *table) Files() []string {
	paths := make([]string, len(t.files))
	for i, f := range t.files {
		paths[i] = f.path
	}
	return paths
}

// Warnings lists what was odd about the files but did not make them unreadable, a sentence each.
func (t *table) Warnings() []string { return slices.Clone(t.warnings) }

func (t *table) warnf(format string, args ...any) {
	t.warnings = append(t.warnings, fmt.Sprintf(format, args...))
}

// Close closes the files. Reads after it fail.
func (t *table) Close() error {
	var errs []error
	for _, f := range t.files {
		errs = append(errs, f.close())
	}
	return errors.Join(errs...)
}

// storedBytes returns the exact size of a tensor of this dtype and shape, or an error if a dimension is negative, the
// element count or the size overflows int64 (zeros do not hide an overflow), or rowwise blocks do not divide the last dimension.
// Sub-byte scalars are packed across rows, as safetensors counts them: only the total must be whole bytes.
func storedBytes(d tensor.DType, shape []int) (int64, error) {
	product, empty := int64(1), false
	for _, n := range shape {
		switch {
		case n < 0:
			return 0, fmt.Errorf("shape %v has a negative dimension", shape)
		case n == 0:
			empty = true
		case product > math.MaxInt64/int64(n):
			return 0, fmt.Errorf("shape %v has more than 2^63 elements", shape)
		default:
			product *= int64(n)
		}
	}
	block, bytes := d.Block()
	if bytes == 0 {
		return 0, fmt.Errorf("dtype %v has no size", d)
	}
	run := product
	if !d.Scalar() {
		run = 1
		if len(shape) > 0 {
			run = int64(shape[len(shape)-1])
		}
	}
	if run%int64(block) != 0 && !(empty && d.Scalar()) {
		return 0, fmt.Errorf("shape %v is not a whole number of %v blocks of %d elements", shape, d, block)
	}
	if product/int64(block) > math.MaxInt64/int64(bytes) {
		return 0, fmt.Errorf("shape %v of %v is larger than 2^63 bytes", shape, d)
	}
	if empty {
		return 0, nil
	}
	return product / int64(block) * int64(bytes), nil
}

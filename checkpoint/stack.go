package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"pith/codec"
	"pith/internal/par"
	"pith/tensor"
)

// Stack is an open stack: a model whose size can be chosen. It keeps no file open, and everything that it reads is compared with the digests of the
// index that it was opened with. It is safe for concurrent use.
type Stack struct {
	path    string
	index   *stackIndex
	header  []byte  // which identifies the file
	offsets []int64 // of all pieces, and the end
	size    int64   // of the file
	names   []string
	weights map[string]int
	kept    [][]int // of each weight its pieces among the kept ones
	blocks  [][]int // and among the blocks, in order

	mu    sync.Mutex
	use   int          // blocks in use
	terms []codec.Term // those that were read
	read  bool         // whether blocks in use are in terms
}

// openStack reads the header and the index of the stack at path.
func openStack(path string) (*Stack, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open checkpoint: %w", err)
	}
	head := make([]byte, stackHead)
	if _, err := f.ReadAt(head, 0); err != nil {
		return nil, fmt.Errorf("%s: ends in its header: copy the file again", path)
	}
	length := binary.LittleEndian.Uint64(head[8:])
	if length > maxIndex || int64(length) > info.Size()-stackHead {
		return nil, fmt.Errorf("%s: ends in its index (%d bytes, and the index alone has %d): copy more of the file", path, info.Size(), length)
	}
	data := make([]byte, length)
	if _, err := f.ReadAt(data, stackHead); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if sum := sha256.Sum256(data); !bytes.Equal(sum[:], head[16:]) {
		return nil, fmt.Errorf("%s: the index is damaged: copy the file again", path)
	}
	x, err := parseStack(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s := &Stack{path: path, index: x, header: head, size: info.Size(), weights: map[string]int{}}
	if s.offsets, err = x.offsets(len(data)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	s.arrange()
	if end := s.offsets[len(s.offsets)-1]; s.size > end {
		return nil, fmt.Errorf("%s: has %d bytes, and the stack ends at %d: what follows is not its own; copy the file again", path, s.size, end)
	}
	if least := s.BytesOf(x.Mandatory); s.size < least {
		return nil, fmt.Errorf("%s: has %d bytes of the %d that every size of this model needs: copy more of the file", path, s.size, least)
	}
	s.use = s.Blocks()
	return s, nil
}

// arrange notes which pieces each weight has.
func (s *Stack) arrange() {
	x := s.index
	s.kept, s.blocks = make([][]int, len(x.Weights)), make([][]int, len(x.Weights))
	for i, w := range x.Weights {
		s.weights[w.Name] = i
		s.names = append(s.names, w.Name)
	}
	slices.Sort(s.names)
	for i, w := range x.Kept.Weights {
		s.kept[w] = append(s.kept[w], i)
	}
	for i, w := range x.Blocks.Weights {
		s.blocks[w] = append(s.blocks[w], i)
	}
}

// Mandatory returns how many blocks every size has, and Blocks how many whole ones the file holds.
func (s *Stack) Mandatory() int { return s.index.Mandatory }

// Blocks returns how many whole blocks the file holds: fewer than were written, if it was cut.
func (s *Stack) Blocks() int {
	at, exact := slices.BinarySearch(s.offsets[s.firstBlock():], s.size)
	if !exact {
		at--
	}
	return at
}

// Written returns how many blocks were written.
func (s *Stack) Written() int { return len(s.index.Blocks.Weights) }

// Made returns what the writer recorded about itself and how the stack was made, as JSON.
func (s *Stack) Made() (tool string, made []byte) { return s.index.Tool, s.index.Made }

// BytesOf returns the length of the prefix that ends with this many blocks.
func (s *Stack) BytesOf(blocks int) int64 { return s.offsets[s.firstBlock()+blocks] }

// Within returns the most blocks that a prefix of so many bytes holds.
func (s *Stack) Within(bytes int64) (blocks int, err error) {
	if least := s.BytesOf(s.Mandatory()); bytes < least {
		return 0, fmt.Errorf("%s: %d bytes are too few: the smallest size of this model has %d", s.path, bytes, least)
	}
	blocks = s.Blocks()
	for blocks > s.Mandatory() && s.BytesOf(blocks) > bytes {
		blocks--
	}
	return blocks, nil
}

// firstBlock is the first block's place among the offsets.
func (s *Stack) firstBlock() int { return len(s.index.Files) + len(s.index.Kept.Weights) }

// InUse returns how many blocks are in use: all, until Resize says otherwise.
func (s *Stack) InUse() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.use
}

// Resize chooses the number of blocks in use. If blocks were read before, those that are new are read, and only those, and it returns the terms of the weights
// that change, to be handed to model.Model.SetTerms; else nil: nothing is read before it is asked for. On an error nothing changes.
func (s *Stack) Resize(blocks int) (map[string][]codec.Term, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if blocks < s.Mandatory() || blocks > s.Blocks() {
		return nil, fmt.Errorf("%s: %d blocks are asked for; the file has %d to %d", s.path, blocks, s.Mandatory(), s.Blocks())
	}
	if !s.read {
		s.use = blocks
		return nil, nil
	}
	low, high := min(s.use, blocks), max(s.use, blocks)
	if blocks > len(s.terms) {
		if err := s.readBlocks(blocks); err != nil {
			return nil, err
		}
	}
	clear(s.terms[blocks:])
	s.terms = s.terms[:blocks]
	s.use = blocks
	changed := map[string][]codec.Term{}
	for _, w := range s.index.Blocks.Weights[low:high] {
		if name := s.index.Weights[w].Name; changed[name] == nil {
			changed[name] = s.termsOf(w)
		}
	}
	return changed, nil
}

// termsOf returns the blocks in use of a weight.
func (s *Stack) termsOf(w int) (list []codec.Term) {
	for _, b := range s.blocks[w] {
		if b < len(s.terms) {
			list = append(list, s.terms[b])
		}
	}
	return list
}

// readBlocks reads blocks up to the given number that are not there yet, in the order of the file.
func (s *Stack) readBlocks(upTo int) error {
	from := len(s.terms)
	f, err := s.open()
	if err != nil {
		return err
	}
	defer f.Close()
	data := make([][]byte, upTo-from)
	for i := range data {
		if data[i], err = s.readPiece(f, s.firstBlock()+from+i); err != nil {
			return err
		}
	}
	terms, errs := make([]codec.Term, len(data)), make([]error, len(data))
	par.For(runtime.GOMAXPROCS(0), len(data), func(i int) { terms[i], errs[i] = s.openBlock(from+i, data[i]) })
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	s.terms = append(slices.Clip(s.terms), terms...)
	return nil
}

// Check reads all that the file holds and compares it with its digests.
func (s *Stack) Check() error {
	if _, err := s.contents(); err != nil {
		return err
	}
	for w := range s.index.Weights {
		if _, err := s.loadKept(w); err != nil {
			return err
		}
	}
	f, err := s.open()
	if err != nil {
		return err
	}
	defer f.Close()
	for b := range s.Blocks() {
		data, err := s.readPiece(f, s.firstBlock()+b)
		if err != nil {
			return err
		}
		if _, err := s.openBlock(b, data); err != nil {
			return err
		}
	}
	return nil
}

// open opens the file again, if it is still the same.
func (s *Stack) open() (*os.File, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return nil, err
	}
	head := make([]byte, stackHead)
	if _, err := f.ReadAt(head, 0); err != nil || !bytes.Equal(head, s.header) {
		f.Close()
		return nil, fmt.Errorf("%s: is not the file any more that was opened: open it again", s.path)
	}
	return f, nil
}

// readPiece reads a piece; its digest is for the caller to compare.
func (s *Stack) readPiece(f *os.File, piece int) ([]byte, error) {
	data := make([]byte, s.offsets[piece+1]-s.offsets[piece])
	if len(data) == 0 {
		return data, nil
	}
	if _, err := f.ReadAt(data, s.offsets[piece]); err != nil {
		return nil, fmt.Errorf("%s: bytes %d to %d: %w", s.path, s.offsets[piece], s.offsets[piece+1], err)
	}
	return data, nil
}

// openBlock makes a term of block b.
func (s *Stack) openBlock(b int, data []byte) (codec.Term, error) {
	w := s.index.Blocks.Weights[b]
	level, _ := slices.BinarySearch(s.blocks[w], b)
	what := fmt.Sprintf("block %d of %d, level %d of %s", b+1, s.Written(), level+1, s.index.Weights[w].Name)
	if !s.index.Blocks.holds(b, data) {
		remedy := "copy the file again"
		if b >= s.Mandatory() {
			remedy = fmt.Sprintf("copy the file again, or use what is before it: --budget %d", s.BytesOf(b))
		}
		return nil, fmt.Errorf("%s: %s (bytes %d to %d) is damaged: %s", s.path, what, s.BytesOf(b), s.BytesOf(b+1), remedy)
	}
	term, err := s.openTerm(s.index.Blocks.Layouts[b], data)
	if err != nil {
		return nil, fmt.Errorf("%s: %s: %w", s.path, what, err)
	}
	return term, nil
}

// openTerm makes a term of a layout's parts.
func (s *Stack) openTerm(layout int, data []byte) (codec.Term, error) {
	l := &s.index.Layouts[layout]
	parts := make([]codec.Part, len(l.Parts))
	for i, p := range l.Parts {
		parts[i] = codec.Part{Name: p.Name, DType: p.dtype, Shape: p.Shape, Data: data[:p.bytes:p.bytes]}
		data = data[p.bytes:]
	}
	if dt := l.plain(); dt != tensor.Invalid {
		return codec.Dense(l.Codec, dt, l.Rows, l.Cols, parts[0].Data)
	}
	return OpenTerm(TermSpec{Codec: l.Codec, Rows: l.Rows, Cols: l.Cols}, parts)
}

// plain returns the dtype of a layout of scalars as checkpoints store them, Invalid of another.
func (l *stackLayout) plain() tensor.DType {
	if len(l.Parts) != 1 || l.Parts[0].Name != "values" || !l.Parts[0].dtype.Scalar() || l.Codec != strings.ToLower(l.Parts[0].DType) {
		return tensor.Invalid
	}
	return l.Parts[0].dtype
}

// file returns a file that the stack holds, nil if it has none of that name.
func (s *Stack) file(name string) ([]byte, error) {
	for i, e := range s.index.Files {
		if e.Name != name {
			continue
		}
		f, err := s.open()
		if err != nil {
			return nil, err
		}
		defer f.Close()
		data, err := s.readPiece(f, i)
		if err == nil && digestOf(data) != e.Digest {
			err = fmt.Errorf("%s: %s in it is damaged: copy the file again", s.path, name)
		}
		return data, err
	}
	return nil, nil
}

// contents returns all files that the stack holds.
func (s *Stack) contents() (list []ConfigContent, err error) {
	for _, e := range s.index.Files {
		data, err := s.file(e.Name)
		if err != nil {
			return nil, err
		}
		list = append(list, ConfigContent{e.Name, data})
	}
	return list, nil
}

// openStackFile opens a stack as a checkpoint.
func openStackFile(path string) (*Checkpoint, error) {
	s, err := openStack(path)
	if err != nil {
		return nil, err
	}
	c := &Checkpoint{Path: path, Kind: StackFile, store: s, dir: filepath.Dir(path)}
	if c.configJSON, err = s.file("config.json"); err != nil {
		return nil, err
	}
	return c, nil
}

// IsStack reports whether the file at path begins as a stack does.
func IsStack(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	head, err := readHead(path)
	return err == nil && bytes.HasPrefix(head, []byte(stackMagic))
}

// Stack returns the stack that c shows, nil if it is another kind of checkpoint.
func (c *Checkpoint) Stack() *Stack {
	s, _ := c.source().(*Stack)
	return s
}

// ErrNoStack is wrapped by errors about sizes of models that have one.
var ErrNoStack = errors.New("is no stack, so its size cannot be chosen; pith stack makes one")

package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pith/codec"
	"pith/tensor"
)

// stackOf is a stack of two matrices with three blocks each, a norm and two files.
func stackOf(t testing.TB) StackContents {
	t.Helper()
	c := StackContents{Tool: "test", Files: []ConfigContent{{"config.json", []byte(`{"model_type":"none"}`)}, {"tokenizer.model", []byte("abc")}}}
	norm, err := codec.Dense("norm.weight", tensor.F32, 1, 2, make([]byte, 8))
	if err != nil {
		t.Fatal(err)
	}
	c.Kept = []StackTensor{{Name: "norm.weight", Shape: []int{2}, Term: func() (codec.Term, error) { return norm, nil }}}
	sign, err := codec.Parse("sign-k1")
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3 {
		for _, name := range []string{"a.weight", "b.weight"} {
			w := tensor.NewMat(9, 20)
			for i := range w.Data {
				w.Data[i] = float32(rng.NormFloat64())
			}
			g, err := sign.Fit(w, nil, codec.FitOptions{})
			if err != nil {
				t.Fatal(err)
			}
			codec.RoundAll(g, w, 1)
			c.Blocks = append(c.Blocks, StackTensor{Name: name, Shape: []int{9, 20}, Term: func() (codec.Term, error) { return g.Pack(), nil }})
		}
	}
	return c
}

func writeStack(t testing.TB, c StackContents) (path string, data []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "model.pithstack")
	if err := WriteStack(path, c); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, data
}

func TestAStackHoldsWhatWasWrittenAndIsAsLongAsItSays(t *testing.T) {
	c := stackOf(t)
	path, data := writeStack(t, c)
	got := open(t, path)
	s := got.Stack()
	if got.Kind != StackFile || s.Mandatory() != 2 || s.Blocks() != 6 || s.BytesOf(6) != int64(len(data)) {
		t.Fatalf("kind %s, %d of %d blocks, %d bytes of %d", got.Kind, s.Mandatory(), s.Blocks(), s.BytesOf(6), len(data))
	}
	files, err := got.ConfigContents()
	if err != nil || len(files) != 2 || string(files[1].Data) != "abc" {
		t.Errorf("files %v, %v", files, err)
	}
	for _, name := range []string{"a.weight", "b.weight", "norm.weight"} {
		w, err := got.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, list := range [][]StackTensor{c.Kept, c.Blocks} {
			for _, b := range list {
				if b.Name != name {
					continue
				}
				want, _ := b.Term()
				for i, p := range want.Parts() {
					if !bytes.Equal(w.Terms[n].Parts()[i].Data, p.Data) {
						t.Errorf("%s: part %q of term %d is another", name, p.Name, n)
					}
				}
				n++
			}
		}
		if info, err := got.Info(name); err != nil || n != len(w.Terms) || info.Bytes != w.Bytes() {
			t.Errorf("%s: %d terms of %d, %d bytes, stated %d (%v)", name, len(w.Terms), n, w.Bytes(), info.Bytes, err)
		}
	}
}

func TestAPrefixBelowTheMandatoryPartIsRefusedAtEveryLength(t *testing.T) {
	path, data := writeStack(t, stackOf(t))
	least := open(t, path).Stack().BytesOf(2)
	for n := range len(data) {
		if err := os.WriteFile(path, data[:n], 0o666); err != nil {
			t.Fatal(err)
		}
		c, err := Open(path)
		switch {
		case int64(n) < least && err == nil:
			t.Fatalf("%d bytes of %d that are mandatory open", n, least)
		case int64(n) < least && n > 16 && (!strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "copy")):
			t.Errorf("%d bytes: error without path or remedy: %v", n, err)
		case int64(n) >= least && err != nil:
			t.Fatalf("%d bytes: %v", n, err)
		case err == nil:
			c.Close()
		}
	}
	if err := os.WriteFile(path, append(data, 0), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil {
		t.Error("a byte beyond the end is accepted")
	}
}

func TestDamageIsFoundAndNamedWithWhatStillWorks(t *testing.T) {
	path, data := writeStack(t, stackOf(t))
	s := open(t, path).Stack()
	for at := 0; at < len(data); at += 1 + min(6, int(s.BytesOf(0))/(at+1)) { // fewer in the index
		bad := bytes.Clone(data)
		bad[at] ^= 0x10
		if err := os.WriteFile(path, bad, 0o666); err != nil {
			t.Fatal(err)
		}
		c, err := Open(path)
		if err == nil {
			err = c.Stack().Check()
			c.Close()
		}
		if err == nil {
			t.Fatalf("byte %d is damaged and nothing notices", at)
		}
		for b := 2; b < 6; b++ {
			if int64(at) < s.BytesOf(b) || int64(at) >= s.BytesOf(b+1) {
				continue
			}
			name := []string{"a.weight", "b.weight"}[b%2]
			if want := fmt.Sprintf("--budget %d", s.BytesOf(b)); !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), name) {
				t.Fatalf("damage in block %d of %s: %v", b, name, err)
			}
			small := open(t, path)
			if _, err := small.Stack().Resize(b); err != nil {
				t.Fatal(err)
			}
			if _, err := small.Load("a.weight"); err != nil {
				t.Fatalf("the blocks before damaged block %d do not load: %v", b, err)
			}
		}
	}
}

func TestResizingReadsOnlyWhatIsNew(t *testing.T) {
	path, data := writeStack(t, stackOf(t))
	c := open(t, path)
	s := c.Stack()
	if changed, err := s.Resize(3); err != nil || changed != nil {
		t.Fatalf("before anything was read: %v, %v", changed, err)
	}
	if w, err := c.Load("a.weight"); err != nil || len(w.Terms) != 2 {
		t.Fatalf("%d terms, %v", len(w.Terms), err)
	}
	bad := bytes.Clone(data)
	for i := s.BytesOf(0); i < s.BytesOf(3); i++ {
		bad[i] ^= 1 // what is in use is not looked at again
	}
	if err := os.WriteFile(path, bad, 0o666); err != nil {
		t.Fatal(err)
	}
	before, err := c.Load("a.weight")
	if err != nil {
		t.Fatal(err)
	}
	changed, err := s.Resize(6)
	if err != nil || len(changed) != 2 || len(changed["a.weight"]) != 3 || len(changed["b.weight"]) != 3 {
		t.Fatalf("grown: %d weights change, %v", len(changed), err)
	}
	if changed["a.weight"][1] != before.Terms[1] {
		t.Error("a block that was there is another object")
	}
	if changed, err = s.Resize(5); err != nil || len(changed) != 1 || len(changed["b.weight"]) != 2 {
		t.Fatalf("shrunk: %v, %v", changed, err)
	}
	if _, err := s.Resize(1); err == nil {
		t.Error("fewer blocks than are mandatory")
	}
	if _, err := s.Resize(7); err == nil {
		t.Error("more blocks than there are")
	}
	if err := os.WriteFile(path, data[:len(data)-1], 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resize(6); err == nil {
		t.Error("a block that was cut off meanwhile is read")
	}
	if s.InUse() != 5 {
		t.Errorf("%d blocks in use after an error, want 5", s.InUse())
	}
	other := stackOf(t)
	other.Tool = "another"
	if err := WriteStack(path, other); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resize(6); err == nil || !strings.Contains(err.Error(), "open it again") {
		t.Errorf("the file was replaced: %v", err)
	}
}

func TestCutStacksAreTheBytesOfTheWhole(t *testing.T) {
	path, data := writeStack(t, stackOf(t))
	s := open(t, path).Stack()
	to := filepath.Join(t.TempDir(), "small.pithstack")
	for blocks := 2; blocks <= 6; blocks++ {
		if n, err := CutStack(path, to, s.BytesOf(blocks)+3); err != nil || n != blocks {
			t.Fatalf("%d blocks, %v", n, err)
		}
		if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, data[:s.BytesOf(blocks)]) {
			t.Errorf("%d blocks: other bytes (%v)", blocks, err)
		}
	}
	if _, err := CutStack(path, to, s.BytesOf(2)-1); err == nil {
		t.Error("cut below the mandatory part")
	}
	if _, err := CutStack(path, path, s.BytesOf(3)); err == nil {
		t.Error("a stack is cut in place")
	}
}

// hostileIndexes change an index into one that lies.
var hostileIndexes = map[string]func(x *stackIndex){
	"format":        func(x *stackIndex) { x.Format = 9 },
	"file":          func(x *stackIndex) { x.Files[0].Name = "../config.json" },
	"file size":     func(x *stackIndex) { x.Files[0].Bytes = 1 << 60 },
	"shape":         func(x *stackIndex) { x.Layouts[0].Parts[0].Shape = []int{1 << 39, 1 << 39, 1 << 39} },
	"negative":      func(x *stackIndex) { x.Layouts[0].Rows = -1 },
	"dtype":         func(x *stackIndex) { x.Layouts[0].Parts[0].DType = "F99" },
	"weight":        func(x *stackIndex) { x.Blocks.Weights[0] = 99 },
	"layout":        func(x *stackIndex) { x.Blocks.Layouts[0] = -1 },
	"other shape":   func(x *stackIndex) { x.Weights[1].Shape = []int{20, 9} },
	"twice":         func(x *stackIndex) { x.Weights[1].Name = x.Weights[2].Name },
	"mandatory":     func(x *stackIndex) { x.Mandatory = 1 },
	"all mandatory": func(x *stackIndex) { x.Mandatory = 6 },
	"no weights":    func(x *stackIndex) { *x = stackIndex{Format: x.Format} },
	"lists":         func(x *stackIndex) { x.Blocks.Digests = x.Blocks.Digests[1:] },
	"many terms": func(x *stackIndex) {
		for range codec.MaxTerms {
			x.Blocks.Weights, x.Blocks.Layouts = append(x.Blocks.Weights, 1), append(x.Blocks.Layouts, x.Blocks.Layouts[0])
			x.Blocks.Digests = append(x.Blocks.Digests, make([]byte, pieceDigest)...)
		}
	},
}

func TestIndexesThatLieAreRefused(t *testing.T) {
	c := stackOf(t)
	for name, change := range hostileIndexes {
		x, err := c.index()
		if err != nil {
			t.Fatal(err)
		}
		change(x)
		data, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		if parsed, err := parseStack(data); err == nil {
			if _, err = parsed.offsets(len(data)); err == nil {
				t.Errorf("%s: accepted", name)
			}
		}
	}
}

// FuzzStack opens an index and data of any bytes as a stack, with a header that fits: what opens can be read or says why not, without a panic and
// without memory that the file does not have.
func FuzzStack(f *testing.F) {
	c := stackOf(f)
	x, err := c.index()
	if err != nil {
		f.Fatal(err)
	}
	index, err := json.Marshal(x)
	if err != nil {
		f.Fatal(err)
	}
	_, whole := writeStack(f, c)
	f.Add(index, whole[stackHead+len(index):], uint64(len(index)))
	f.Add([]byte(`{"format":1}`), []byte{}, uint64(1)<<63)
	path := filepath.Join(f.TempDir(), "fuzz.pithstack")
	f.Fuzz(func(t *testing.T, index, data []byte, length uint64) {
		head := stackHeader(index)
		if length != uint64(len(index)) {
			binary.LittleEndian.PutUint64(head[8:], length)
		}
		if err := os.WriteFile(path, append(append(head, index...), data...), 0o666); err != nil {
			t.Fatal(err)
		}
		s, err := openStack(path)
		if err != nil {
			return
		}
		if s.BytesOf(s.Blocks()) > s.size {
			t.Fatalf("%d blocks end at %d of %d bytes", s.Blocks(), s.BytesOf(s.Blocks()), s.size)
		}
		for _, name := range s.Names() {
			if w, err := s.Load(name); err == nil {
				if info, err := s.Info(name); err != nil || info.Bytes != w.Bytes() {
					t.Fatalf("%s holds %d bytes, stated %d (%v)", name, w.Bytes(), info.Bytes, err)
				}
			}
		}
	})
}

package formats

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// raw builds GGUF bytes field by field, with no checks.
type raw []byte

func (b raw) u32(v uint32) raw { return binary.LittleEndian.AppendUint32(b, v) }
func (b raw) u64(v uint64) raw { return binary.LittleEndian.AppendUint64(b, v) }
func (b raw) str(s string) raw { return append(b.u64(uint64(len(s))), s...) }
func (b raw) pad(n int) raw    { return append(b, make([]byte, n)...) }

// head is magic, version and counts.
func head(tensors, kvs uint64) raw { return raw("GGUF").u32(3).u64(tensors).u64(kvs) }

// tensor appends a tensor info; ne is in file order.
func (b raw) tensor(name string, typ uint32, offset uint64, ne ...uint64) raw {
	b = b.str(name).u32(uint32(len(ne)))
	for _, n := range ne {
		b = b.u64(n)
	}
	return b.u32(typ).u64(offset)
}

// aligned pads to 32 bytes and appends n bytes of data.
func (b raw) aligned(n int) raw { return b.pad((32 - len(b)%32) % 32).pad(n) }

var hostileGGUF = []struct {
	name, words string
	file        raw
}{
	{"empty file", "too short", nil},
	{"23 bytes", "too short", head(0, 0)[:23]},
	{"wrong magic", "not a GGUF file", raw("GGML").u32(3).u64(0).u64(0)},
	{"an old GGML file", "not a GGUF file", raw("tjgg").u32(3).u64(0).u64(0)},
	{"zeros where the header should be (llama-quantize killed)", "did not finish", make(raw, 4096)},
	{"version 0", "version 0", raw("GGUF").u32(0).u64(0).u64(0)},
	{"version 1", "version 1", raw("GGUF").u32(1).u64(0).u64(0)},
	{"version 4", "version 4", raw("GGUF").u32(4).u64(0).u64(0)},
	{"big-endian", "big-endian", raw("GGUF").u32(3 << 24).u64(0).u64(0)},
	{"43 bytes claiming 2^60 metadata entries (llama.cpp #27188)", "metadata entries", head(0, 1<<60).str("general.nam")},
	{"2^64-1 metadata entries (CVE-2024-23605)", "metadata entries", head(0, math.MaxUint64).pad(64)},
	{"metadata entries over our limit", "limit", head(0, maxGGUFKVs+1).pad(14 * (maxGGUFKVs + 2))},
	{"2^60 tensors (CVE-2024-21836)", "tensors", head(1<<60, 0).pad(64)},
	{"2^64-1 tensors (CVE-2024-21836)", "tensors", head(math.MaxUint64, 0).pad(64)},
	{"two tensors announced, half of one there", "cut short", head(2, 0).str("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")},

	{"key of 2^64-1 bytes (CVE-2024-23496)", "limit", head(0, 1).u64(math.MaxUint64).pad(32)},
	{"string of 2^63 bytes (CVE-2024-23496)", "limit", head(0, 1).str("a").u32(8).u64(1 << 63).pad(32)},
	{"string of 2^30 bytes that are not there", "cut short", head(0, 1).str("a").u32(8).u64(1 << 30).pad(32)},
	{"token length truncated to int32 (CVE-2025-49847)", "limit", head(0, 1).str("tokenizer.ggml.tokens").u32(9).u32(8).u64(1).u64(1<<32 + 5).pad(32)},
	{"array of 2^60 (CVE-2024-21825)", "limit", head(0, 1).str("a").u32(9).u32(0).u64(1 << 60).pad(32)},
	{"array of 2^61 u64, size wraps (CVE-2024-21825)", "limit", head(0, 1).str("a").u32(9).u32(10).u64(1 << 61).pad(32)},
	{"array of 2^30 u64 that are not there", "cut short", head(0, 1).str("a").u32(9).u32(10).u64(1 << 30).pad(32)},
	{"array of 2^30 strings that are not there", "cut short", head(0, 1).str("a").u32(9).u32(8).u64(1 << 30).pad(32)},
	{"array of arrays", "arrays of arrays", head(0, 1).str("a").u32(9).u32(9).u64(1).u32(0).u64(0).pad(32)},
	{"array of unknown type (CVE-2024-21825)", "type 13", head(0, 1).str("a").u32(9).u32(13).u64(1).pad(32)},
	{"array of unknown type, empty", "type 4294967295", head(0, 1).str("a").u32(9).u32(math.MaxUint32).u64(0).pad(32)},
	{"unknown value type (CVE-2024-21825)", "type 13", head(0, 1).str("a").u32(13).pad(32)},
	{"metadata that ends after its key (CVE-2024-32878)", "cut short", head(0, 1).str("aaaaaa")},
	{"metadata that ends in its value (CVE-2024-32878)", "cut short", head(0, 1).str("aaa").u32(10).pad(7)},
	{"empty key", "empty", head(0, 1).str("").u32(0).pad(32)},
	{"key with NUL", "NUL", head(0, 1).str("a\x00b").u32(0).pad(32)},
	{"key of 70000 bytes", "limit", head(0, 1).str(strings.Repeat("k", 70000)).u32(0).pad(32)},
	{"key twice", `"a" is there twice`, head(0, 2).str("a").u32(0).pad(1).str("a").u32(0).pad(32)},
	{"bool of 2", "bool", append(head(0, 1).str("a").u32(7), 2)},
	{"bool of 2 in an array", "bool", append(head(0, 1).str("a").u32(9).u32(7).u64(3), 0, 1, 2)},
	{"alignment 0", "power of two", head(0, 1).str("general.alignment").u32(4).u32(0)},
	{"alignment 48", "power of two", head(0, 1).str("general.alignment").u32(4).u32(48)},
	{"alignment 2^31 wraps padding (GHSA-96jg-mvhq-q7q7)", "power of two", head(0, 1).str("general.alignment").u32(4).u32(1 << 31)},
	{"alignment 2^17", "power of two", head(0, 1).str("general.alignment").u32(4).u32(1 << 17)},
	{"alignment as u64", "not uint32", head(0, 1).str("general.alignment").u32(10).u64(32)},
	{"alignment as string", "not uint32", head(0, 1).str("general.alignment").u32(8).str("32")},

	{"5 dimensions (ggml #709)", "5 dimensions", head(1, 0).tensor("a", 0, 0, 1, 1, 1, 1, 1).aligned(32)},
	{"2^31 dimensions (gguf-tools #25)", "dimensions", head(1, 0).str("a").u32(1 << 31).pad(64)},
	{"type 43 (ggml #709)", "type 43", head(1, 0).tensor("a", 43, 0, 32).aligned(128)},
	{"type 2^32-1 (ggml #709)", "type 4294967295", head(1, 0).tensor("a", math.MaxUint32, 0, 32).aligned(128)},
	{"type Q4_2, removed", "removed", head(1, 0).tensor("a", 4, 0, 32).aligned(128)},
	{"type Q4_0_4_4, removed", "removed", head(1, 0).tensor("a", 31, 0, 32).aligned(128)},
	{"negative dimension", "dimension", head(1, 0).tensor("a", 0, 0, math.MaxUint64).aligned(32)},
	{"dimension 2^63", "dimension", head(1, 0).tensor("a", 0, 0, 1<<63).aligned(32)},
	{"element count wraps to 0 (CVE-2024-21802)", "2^63 elements", head(1, 0).tensor("a", 0, 0, 1<<32, 1<<32).aligned(32)},
	{"element count wraps in the fourth dimension (CVE-2024-21802)", "2^63 elements", head(1, 0).tensor("a", 0, 0, 1<<20, 1<<20, 1<<20, 1<<20).aligned(32)},
	{"element count wraps behind a zero", "2^63 elements", head(1, 0).tensor("a", 0, 0, 1<<62, 1<<62, 0).aligned(32)},
	{"size in bytes wraps", "2^63 bytes", head(1, 0).tensor("a", 28, 0, 1<<62).aligned(32)},
	{"sum of sizes wraps (CVE-2025-53630)", "cut short", head(3, 0).tensor("a", 24, 0, 1<<62).tensor("b", 24, 1<<62, 1<<62).tensor("c", 24, 1<<63, 1<<62).aligned(64)},
	{"sum of padded sizes wraps (CVE-2026-27940)", "cut short", head(2, 0).tensor("a", 24, 0, math.MaxInt64).tensor("b", 24, 1<<63, 32).aligned(64)},
	{"tensor larger than the file (CVE-2026-7482)", "cut short", head(1, 0).tensor("a", 0, 0, 1000, 1000).aligned(100)},
	{"last tensor one byte short (CVE-2026-7482)", "cut short", head(1, 0).tensor("a", 24, 0, 100).aligned(99)},
	{"no data at all", "cut short", head(1, 0).tensor("a", 24, 0, 1)},
	{"half a block", "blocks", head(1, 0).tensor("a", 2, 0, 48).aligned(64)},
	{"blocks that only divide the whole tensor", "blocks", head(1, 0).tensor("a", 2, 0, 16, 2).aligned(64)},
	{"scalar of blocks", "blocks", head(1, 0).tensor("a", 2, 0).aligned(64)},
	{"offset not at the running sum: gap", "starts at 64", head(2, 0).tensor("a", 24, 0, 32).tensor("b", 24, 64, 32).aligned(96)},
	{"offset not at the running sum: overlap", "starts at 0", head(2, 0).tensor("a", 24, 0, 32).tensor("b", 24, 0, 32).aligned(96)},
	{"offset not aligned", "starts at 33", head(2, 0).tensor("a", 24, 0, 33).tensor("b", 24, 33, 32).aligned(96)},
	{"first offset not 0", "starts at 32", head(1, 0).tensor("a", 24, 32, 32).aligned(96)},
	{"offset 2^64-32", "starts at", head(1, 0).tensor("a", 24, math.MaxUint64-31, 32).aligned(96)},
	{"offset 2^63", "starts at", head(1, 0).tensor("a", 24, 1<<63, 32).aligned(96)},
	{"name of 64 bytes", "limit", head(1, 0).tensor(strings.Repeat("n", 64), 24, 0, 32).aligned(32)},
	{"name with NUL, equal to another in C", "NUL", head(2, 0).tensor("a", 24, 0, 32).tensor("a\x00", 24, 32, 32).aligned(64)},
	{"tensor twice", `"a" is there twice`, head(2, 0).tensor("a", 24, 0, 32).tensor("a", 24, 32, 32).aligned(64)},
}

func openRaw(file []byte) (*GGUF, error) {
	return NewGGUF("x.gguf", bytes.NewReader(file), int64(len(file)))
}

func TestHostileGGUF(t *testing.T) {
	for _, c := range hostileGGUF {
		t.Run(c.name, func(t *testing.T) {
			var err error
			checkBounded(t, len(c.file), func() { _, err = openRaw(c.file) })
			checkRefused(t, err, "x.gguf", c.words)
		})
	}
}

func TestGGUFEveryPrefixOfAFileIsRefused(t *testing.T) {
	whole, err := os.ReadFile("testdata/python.gguf")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := openRaw(whole); err != nil {
		t.Fatal(err)
	}
	last := len(whole)
	for last > 0 && whole[last-1] == 0 { // the last tensor's padding may be missing
		last--
	}
	for n := range last {
		if _, err := openRaw(whole[:n]); err == nil {
			t.Fatalf("the first %d of %d bytes are accepted", n, len(whole))
		}
	}
}

func TestGGUFNoByteOfTheHeaderCanBreakTheReader(t *testing.T) {
	whole, err := os.ReadFile("testdata/split-00003-of-00003.gguf")
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole[:900] {
		for _, v := range []byte{0, 1, 0x7f, 0x80, 0xff, whole[i] ^ 1, whole[i] + 1} {
			file := bytes.Clone(whole)
			file[i] = v
			var g *GGUF
			checkBounded(t, len(file), func() { g, err = openRaw(file) })
			if err == nil {
				for _, name := range g.Names() {
					if _, err := Read(g, name); err != nil {
						t.Fatalf("byte %d = %#x: accepted, but %v", i, v, err)
					}
				}
			}
		}
	}
}

// llama.cpp #26690: reading scores that are an array of u8 as float32 leaves the array. The accessors know the type.
func TestGGUFAccessorsRefuseOtherTypes(t *testing.T) {
	kv := append(everyKV(), KV{"tokenizer.ggml.scores", []uint8{1, 2, 3}})
	path := filepath.Join(t.TempDir(), "a.gguf")
	if err := WriteGGUF(path, kv, nil); err != nil {
		t.Fatal(err)
	}
	g, err := OpenGGUF(path)
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	_, err = g.Floats("tokenizer.ggml.scores")
	checkRefused(t, err, path, "tokenizer.ggml.scores", "[]uint8", "float32")
	accessors := map[string]func(string) error{
		"bool": func(k string) error { _, err := g.Bool(k); return err }, "string": func(k string) error { _, err := g.String(k); return err },
		"int": func(k string) error { _, err := g.Int(k); return err }, "ints": func(k string) error { _, err := g.Ints(k); return err },
		"float": func(k string) error { _, err := g.Float(k); return err }, "floats": func(k string) error { _, err := g.Floats(k); return err },
		"strings": func(k string) error { _, err := g.Strings(k); return err },
	}
	suits := map[string]string{"true": "bool", "false": "bool", "string": "string", "empty": "string", "general.architecture": "string", "long": "string",
		"u8": "int", "i8": "int", "u16": "int", "i16": "int", "u32": "int", "i32": "int", "i64": "int", "f32": "float", "f64": "float",
		"a.u8": "ints", "a.i8": "ints", "a.u16": "ints", "a.i16": "ints", "a.u32": "ints", "a.i32": "ints", "a.i64": "ints", "a.u64": "ints",
		"a.f32": "floats", "a.long": "floats", "a.string": "strings", "a.none": "strings", "tokenizer.ggml.scores": "ints"} // u64 is above 2^63
	for _, entry := range kv {
		for name, get := range accessors {
			err := get(entry.Key)
			if (err == nil) != (suits[entry.Key] == name) {
				t.Errorf("%s of %q (%T): %v", name, entry.Key, entry.Value, err)
			}
			if err != nil && errors.Is(err, ErrNoKey) {
				t.Errorf("%q: %v", entry.Key, err)
			}
		}
	}
	if g.Has("absent") || !g.Has("u8") {
		t.Error("Has is wrong")
	}
	if _, err := g.Int("absent"); !errors.Is(err, ErrNoKey) {
		t.Errorf("absent key: %v", err)
	}
}

func TestGGUFVersion2AndTrailingBytesAreRead(t *testing.T) {
	file := head(1, 0).tensor("a", 24, 0, 3).aligned(32)
	file[4] = 2
	file = append(file, "polyglot"...)
	g, err := openRaw(file)
	if err != nil {
		t.Fatal(err)
	}
	if w := g.Warnings(); len(w) != 1 || !strings.Contains(w[0], "8 bytes follow") {
		t.Errorf("warnings %q", w)
	}
}

func TestHostileGGUFSplit(t *testing.T) {
	shard := func(no, count, total any, tensors ...string) raw {
		var kv []KV
		for i, v := range []any{no, count, total} {
			if v != nil {
				kv = append(kv, KV{[]string{"split.no", "split.count", "split.tensors.count"}[i], v})
			}
		}
		var lazy []LazyTensor
		for _, name := range tensors {
			lazy = append(lazy, LazyTensor{Info: Info{Name: name, DType: ggmlTypes[24], Shape: []int{32}}, Data: func() ([]byte, error) { return make([]byte, 32), nil }})
		}
		header, _, err := ggufHeaderBytes(kv, lazy)
		if err != nil {
			t.Fatal(err)
		}
		return raw(header).pad(32 * len(tensors))
	}
	one, two := shard(uint16(0), uint16(2), int32(3), "a", "b"), shard(uint16(1), uint16(2), nil, "c")
	const first, second = "m-00001-of-00002.gguf", "m-00002-of-00002.gguf"
	for _, c := range []struct {
		name, open, words string
		files             map[string]raw
	}{
		{"good", first, "", map[string]raw{first: one, second: two}},
		{"second is missing", first, "no such file", map[string]raw{first: one}},
		{"second is cut short", first, "cut short", map[string]raw{first: one, second: two[:len(two)-1]}},
		{"second is opened", second, "open the first", map[string]raw{first: one, second: two}},
		{"renamed", "m.gguf", "names back", map[string]raw{"m.gguf": one, second: two}},
		{"second is the first again", first, "do not belong together", map[string]raw{first: one, second: one}},
		{"shards swapped", first, "open the first", map[string]raw{first: two, second: one}},
		{"second of another number", first, "says it is shard 3", map[string]raw{first: one, second: shard(uint16(2), uint16(2), nil, "c")}},
		{"second of another count", first, "shard 2 of 3", map[string]raw{first: one, second: shard(uint16(1), uint16(3), nil, "c")}},
		{"second of no count", first, "says it is", map[string]raw{first: one, second: shard(nil, nil, nil, "c")}},
		{"tensor in both", first, "do not belong together", map[string]raw{first: one, second: shard(uint16(1), uint16(2), nil, "a")}},
		{"tensor missing", first, "split.tensors.count", map[string]raw{first: one, second: shard(uint16(1), uint16(2), nil)}},
		{"count is 65535", first, "name says", map[string]raw{first: shard(uint16(0), uint16(65535), int32(3), "a"), second: two}},
		{"count is negative", first, "split.count", map[string]raw{first: shard(uint16(0), int16(-1), int32(3), "a"), second: two}},
		{"count is a string", first, "split.count", map[string]raw{first: shard(uint16(0), "2", int32(3), "a"), second: two}},
		{"number is negative", first, "split.no", map[string]raw{first: shard(int16(-1), uint16(2), int32(3), "a"), second: two}},
		{"tensor count is negative", first, "split.tensors.count", map[string]raw{first: shard(uint16(0), uint16(2), int32(-3), "a"), second: two}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, size := t.TempDir(), 0
			for name, file := range c.files {
				size += len(file)
				if err := os.WriteFile(filepath.Join(dir, name), file, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			var g *GGUF
			var err error
			checkBounded(t, size, func() { g, err = OpenGGUF(filepath.Join(dir, c.open)) })
			if c.words != "" {
				checkRefused(t, err, dir, c.words)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer g.Close()
			if got := fmt.Sprint(g.Names()); got != "[a b c]" {
				t.Errorf("tensors %s", got)
			}
		})
	}
}

package formats

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// safetensorsFile returns a file with this header text and so many bytes of data.
func safetensorsFile(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), make([]byte, data)...)
}

// checkBounded runs f and fails if it allocated more than a small multiple of size bytes.
func checkBounded(t *testing.T, size int, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(128<<10+32*size); got > limit {
		t.Errorf("allocated %d bytes for a file of %d", got, size)
	}
}

// checkRefused fails unless err is an error that names the file and has all the words.
func checkRefused(t *testing.T, err error, file string, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("accepted")
	}
	for _, word := range append(words, file) {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error lacks %q: %v", word, err)
		}
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("the error has several lines: %v", err)
	}
}

func entry(name, dtype, shape string, start, end int) string {
	return fmt.Sprintf(`%q:{"dtype":%q,"shape":%s,"data_offsets":[%d,%d]}`, name, dtype, shape, start, end)
}

// hostileSafetensors are the malformed files of the format's own tests and attacks, the Trail of Bits audit, and what Go's
// library accepts wrongly. words must be in the error.
var hostileSafetensors = []struct {
	name, words string
	file        []byte
}{
	{"empty file", "too short", nil},
	{"seven bytes", "too short", make([]byte, 7)},
	{"header length beyond the file (attacks: header length)", "cut short", append(binary.LittleEndian.AppendUint64(nil, 1<<20), '{', '}')},
	{"header length 2^40", "limit", append(binary.LittleEndian.AppendUint64(nil, 1<<40), '{', '}')},
	{"header length 4 GB (attacks: huge JSON)", "limit", append(binary.LittleEndian.AppendUint64(nil, 1<<32), '{', '}')},
	{"header length 2^64-1 wraps", "limit", append(binary.LittleEndian.AppendUint64(nil, 1<<64-1), '{', '}')},
	{"header length 2^63", "limit", append(binary.LittleEndian.AppendUint64(nil, 1<<63), '{', '}')},
	{"header of no bytes", "start with {", make([]byte, 8)},
	{"a pickle", "limit", []byte("\x80\x02}q\x00X\x01\x00\x00\x00aq\x01K\x01s.")},
	{"a zip, as torch.save writes", "limit", []byte("PK\x03\x04\x00\x00\x08\x08\x00\x00\x00\x00")},
	{"a GGUF file", "GGUF", []byte("GGUF\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")},
	{"header not UTF-8", "UTF-8", safetensorsFile("{\"a\xff\":1}", 0)},
	{"header not an object", "start with {", safetensorsFile(`["a"]`, 0)},
	{"space before the header", "start with {", safetensorsFile(` {}`, 0)},
	{"header that ends early", "ends in the middle", safetensorsFile(`{"a":{"dtype":"U8"`, 0)},
	{"string that ends early", "ends in the middle", safetensorsFile(`{"a`, 0)},
	{"text after the header (polyglot)", "after the end", safetensorsFile(`{}<html>`, 0)},
	{"zero bytes after the header", "after the end", safetensorsFile("{}\x00\x00", 0)},
	{"trailing comma", "expected", safetensorsFile(`{`+entry("a", "U8", "[0]", 0, 0)+`,}`, 0)},
	{"control character in a name", "control", safetensorsFile("{\"a\nb\":1}", 0)},
	{"half a surrogate pair", "surrogate", safetensorsFile(`{"\ud800":1}`, 0)},
	{"surrogate pair the wrong way round", "surrogate", safetensorsFile(`{"\udc00\ud800":1}`, 0)},
	{"bad escape", "escape", safetensorsFile(`{"\x":1}`, 0)},

	{"tensor twice (audit: duplicate keys)", `"a" is there twice`, safetensorsFile(`{`+entry("a", "U8", "[1]", 0, 1)+`,`+entry("a", "U8", "[1]", 1, 2)+`}`, 2)},
	{"tensor twice, once escaped", `"a" is there twice`, safetensorsFile(`{`+entry("a", "U8", "[1]", 0, 1)+`,`+strings.Replace(entry("a", "U8", "[1]", 1, 2), `"a"`, `"\u0061"`, 1)+`}`, 2)},
	{"metadata twice", "twice", safetensorsFile(`{"__metadata__":{},"__metadata__":{}}`, 0)},
	{"metadata key twice", "twice", safetensorsFile(`{"__metadata__":{"a":"b","a":"c"}}`, 0)},
	{"dtype twice", "twice", safetensorsFile(`{"a":{"dtype":"U8","dtype":"I8","shape":[0],"data_offsets":[0,0]}}`, 0)},
	{"shape twice", "twice", safetensorsFile(`{"a":{"dtype":"U8","shape":[1],"shape":[0],"data_offsets":[0,0]}}`, 0)},
	{"offsets twice", "twice", safetensorsFile(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,1],"data_offsets":[0,0]}}`, 1)},
	{"metadata not strings", "__metadata__", safetensorsFile(`{"__metadata__":{"a":1}}`, 0)},
	{"metadata nested", "__metadata__", safetensorsFile(`{"__metadata__":{"a":{}}}`, 0)},
	{"metadata null", "__metadata__", safetensorsFile(`{"__metadata__":null}`, 0)},
	{"tensor not an object", `"a"`, safetensorsFile(`{"a":[]}`, 0)},
	{"dtype missing", "missing", safetensorsFile(`{"a":{"shape":[0],"data_offsets":[0,0]}}`, 0)},
	{"shape missing", "missing", safetensorsFile(`{"a":{"dtype":"U8","data_offsets":[0,0]}}`, 0)},
	{"offsets missing", "missing", safetensorsFile(`{"a":{"dtype":"U8","shape":[0]}}`, 0)},
	{"field that means something unknown", "strides", safetensorsFile(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"strides":[1]}}`, 0)},
	{"dtype unknown", "Q9", safetensorsFile(`{`+entry("a", "Q9", "[0]", 0, 0)+`}`, 0)},
	{"dtype in lower case", "f32", safetensorsFile(`{`+entry("a", "f32", "[0]", 0, 0)+`}`, 0)},
	{"dtype of GGML", "Q4_0", safetensorsFile(`{`+entry("a", "Q4_0", "[32]", 0, 18)+`}`, 18)},
	{"dtype that is the zero value's name", "invalid", safetensorsFile(`{`+entry("a", "invalid", "[0]", 0, 0)+`}`, 0)},

	{"hole before the first tensor", "belong to no tensor", safetensorsFile(`{`+entry("a", "U8", "[1]", 1, 2)+`}`, 2)},
	{"hole between tensors (audit: polyglot)", "belong to no tensor", safetensorsFile(`{`+entry("a", "U8", "[1]", 0, 1)+`,`+entry("b", "U8", "[1]", 2, 3)+`}`, 3)},
	{"bytes after the last tensor (audit: polyglot)", "follow the last", safetensorsFile(`{`+entry("a", "U8", "[1]", 0, 1)+`}`, 2)},
	{"data but no tensors (audit: polyglot)", "follow the last", safetensorsFile(`{}`, 5)},
	{"overlap by one byte", "overlaps", safetensorsFile(`{`+entry("a", "U8", "[2]", 0, 2)+`,`+entry("b", "U8", "[2]", 1, 3)+`}`, 3)},
	{"two tensors on the same bytes", "overlaps", safetensorsFile(`{`+entry("a", "U8", "[2]", 0, 2)+`,`+entry("b", "I8", "[2]", 0, 2)+`}`, 2)},
	{"data one byte short", "cut short", safetensorsFile(`{`+entry("a", "F32", "[2]", 0, 8)+`}`, 7)},
	{"no data at all", "cut short", safetensorsFile(`{`+entry("a", "F32", "[2]", 0, 8)+`}`, 0)},
	{"end before start", "data_offsets", safetensorsFile(`{`+entry("a", "U8", "[1]", 1, 0)+`}`, 1)},
	{"offsets and shape disagree", "do not span", safetensorsFile(`{`+entry("a", "F32", "[2]", 0, 4)+`}`, 4)},
	{"negative offset", "natural number", safetensorsFile(`{`+entry("a", "U8", "[1]", -1, 0)+`}`, 1)},
	{"offset 2^64", "2^63", safetensorsFile(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[18446744073709551616,18446744073709551617]}}`, 1)},
	{"offset 2^64-1 wraps", "2^63", safetensorsFile(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[18446744073709551615,0]}}`, 1)},
	{"offset 2^63-1", "cut short", safetensorsFile(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"b":{"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]}}`, 1)},
	{"offset with fraction", "natural number", safetensorsFile(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0.0,1]}}`, 1)},
	{"offset with exponent", "natural number", safetensorsFile(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1e0]}}`, 1)},
	{"offset with leading zero", "natural number", safetensorsFile(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,01]}}`, 1)},
	{"offset as a string", "natural number", safetensorsFile(`{"a":{"dtype":"U8","shape":[1],"data_offsets":["0",1]}}`, 1)},
	{"one offset", "data_offsets", safetensorsFile(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0]}}`, 1)},
	{"three offsets", "data_offsets", safetensorsFile(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,2]}}`, 1)},

	{"shape product 2^64 wraps to 0", "2^63", safetensorsFile(`{`+entry("a", "U8", "[4294967296,4294967296]", 0, 0)+`}`, 0)},
	{"shape times size wraps to 0", "2^63", safetensorsFile(`{`+entry("a", "F64", "[2305843009213693952]", 0, 0)+`}`, 0)},
	{"shape [0, 2^64-1]", "2^63", safetensorsFile(`{`+entry("a", "U8", "[0,18446744073709551615]", 0, 0)+`}`, 0)},
	{"overflow behind a zero", "2^63", safetensorsFile(`{`+entry("a", "U8", "[0,4611686018427387904,4611686018427387904]", 0, 0)+`}`, 0)},
	{"negative dimension", "natural number", safetensorsFile(`{`+entry("a", "U8", "[-1]", 0, 0)+`}`, 0)},
	{"17 dimensions", "dimensions", safetensorsFile(`{`+entry("a", "U8", "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", 0, 1)+`}`, 1)},
	{"shape nested deep", "natural number", safetensorsFile(`{"a":{"dtype":"U8","shape":`+strings.Repeat("[", 10000), 0)},
	{"F4 of an odd count (MisalignedSlice)", "whole number", safetensorsFile(`{`+entry("a", "F4", "[3]", 0, 1)+`}`, 1)},
	{"F6 of a count that is no whole bytes (MisalignedSlice)", "whole number", safetensorsFile(`{`+entry("a", "F6_E2M3", "[6]", 0, 4)+`}`, 4)},
	{"a tensor that is not there behind a good one", "cut short", safetensorsFile(`{`+entry("good", "U8", "[4]", 0, 4)+`,`+entry("bad", "F32", "[1000000]", 4, 4000004)+`}`, 4)},
}

func TestHostileSafetensors(t *testing.T) {
	for _, c := range hostileSafetensors {
		t.Run(c.name, func(t *testing.T) {
			var err error
			checkBounded(t, len(c.file), func() {
				_, err = NewSafetensors("x.safetensors", bytes.NewReader(c.file), int64(len(c.file)))
			})
			checkRefused(t, err, "x.safetensors", c.words)
		})
	}
}

// The attack is amplification: a small header that makes a reader load the same bytes over and over.
func TestHostileSafetensorsManyTensorsOverOneRange(t *testing.T) {
	var entries []string
	for i := range 10000 {
		entries = append(entries, entry(fmt.Sprint("t", i), "U8", "[1000]", 0, 1000))
	}
	file := safetensorsFile("{"+strings.Join(entries, ",")+"}", 1000)
	var err error
	checkBounded(t, len(file), func() { _, err = NewSafetensors("x", bytes.NewReader(file), int64(len(file))) })
	checkRefused(t, err, "x", "overlaps")
}

func TestHostileSafetensorsTooManyTensors(t *testing.T) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i := range maxSafetensorsTensors + 1 {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%x":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`, i)
	}
	b.WriteByte('}')
	file := safetensorsFile(b.String(), 0)
	var err error
	checkBounded(t, len(file), func() { _, err = NewSafetensors("x", bytes.NewReader(file), int64(len(file))) })
	checkRefused(t, err, "x", "more than 1048576 tensors")
}

func TestSafetensorsEveryPrefixOfAFileIsRefused(t *testing.T) {
	whole, err := os.ReadFile("testdata/python.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	for n := range len(whole) {
		if _, err := NewSafetensors("x", bytes.NewReader(whole[:n]), int64(n)); err == nil {
			t.Fatalf("the first %d of %d bytes are accepted", n, len(whole))
		}
	}
}

func TestSafetensorsCutShortWhileOpenIsAnErrorNamingFileAndTensor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := os.WriteFile(path, safetensorsFile(`{`+entry("w", "U8", "[100]", 0, 100)+`}`, 100), 0o666); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSafetensors(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.Truncate(path, 80); err != nil {
		t.Fatal(err)
	}
	_, err = Read(s, "w")
	checkRefused(t, err, path, `"w"`, "cut short", "download it again")
}

func TestOpenRefusesWhatIsNotARegularFile(t *testing.T) {
	if _, err := os.Stat("/dev/zero"); err != nil {
		t.Skip("no /dev/zero here")
	}
	_, err := OpenSafetensors("/dev/zero")
	checkRefused(t, err, "/dev/zero", "not a regular file")
	_, err = OpenGGUF("/dev/zero")
	checkRefused(t, err, "/dev/zero", "not a regular file")
}

func TestReadsOutsideATensorAreErrors(t *testing.T) {
	file := safetensorsFile(`{`+entry("a", "U8", "[4]", 0, 4)+`,`+entry("b", "U8", "[4]", 4, 8)+`}`, 8)
	s, err := NewSafetensors("x", bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		n   int
		off int64
	}{{1, -1}, {5, 0}, {1, 4}, {0, 5}, {2, 1<<63 - 1}} {
		if err := s.ReadAt("a", make([]byte, c.n), c.off); err == nil {
			t.Errorf("%d bytes at %d of 4 are read", c.n, c.off)
		}
	}
	checkRefused(t, s.ReadAt("c", nil, 0), "x", `no tensor "c"`)
}

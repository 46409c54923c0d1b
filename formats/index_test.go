package formats

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shardedCheckpoint writes two shards with tensors a, b and c of 4, 8 and 12 bytes, without index, and returns the directory.
func shardedCheckpoint(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("model-00001-of-00002.safetensors", string(safetensorsFile(`{"__metadata__":{"format":"pt","one":"1"},`+entry("a", "F32", "[1]", 0, 4)+","+entry("b", "F32", "[2]", 4, 12)+"}", 12)))
	write("model-00002-of-00002.safetensors", string(safetensorsFile(`{"__metadata__":{"format":"pt","two":"2"},`+entry("c", "F32", "[3]", 0, 12)+"}", 12)))
	return dir
}

const goodIndex = `{"metadata":{"total_size":24},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00001-of-00002.safetensors","c":"model-00002-of-00002.safetensors"}}`

func TestShardsAreReadThroughTheIndexOrTheDirectory(t *testing.T) {
	dir := shardedCheckpoint(t)
	index := filepath.Join(dir, safetensorsIndex)
	if err := os.WriteFile(index, []byte(goodIndex), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, index} {
		s, err := OpenSafetensors(path)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if got := strings.Join(s.Names(), " "); got != "a b c" || len(s.Files()) != 2 || len(s.Warnings()) != 0 {
			t.Errorf("tensors %s, files %q, warnings %q", got, s.Files(), s.Warnings())
		}
		if m := s.Metadata(); len(m) != 3 || m["one"] != "1" || m["two"] != "2" {
			t.Errorf("metadata %q", m)
		}
		if m := s.FileMetadata(s.Files()[1]); len(m) != 2 || m["two"] != "2" {
			t.Errorf("metadata of the second shard %q", m)
		}
	}
}

func TestWriteIndexIsReadBack(t *testing.T) {
	dir := shardedCheckpoint(t)
	weights := map[string]string{"a": "model-00001-of-00002.safetensors", "b": "model-00001-of-00002.safetensors", "c": "model-00002-of-00002.safetensors"}
	if err := WriteIndex(filepath.Join(dir, safetensorsIndex), weights, 24); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSafetensors(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if len(s.Warnings()) != 0 {
		t.Errorf("warnings %q", s.Warnings())
	}
	if err := WriteIndex(filepath.Join(dir, "x"), map[string]string{"a": "../a"}, 0); err == nil {
		t.Error("an index that leaves its directory is written")
	}
}

func TestIndexTotalSizeThatDiffersIsAWarning(t *testing.T) {
	for _, size := range []string{"23", "0", "1e3", "25.0"} {
		dir := shardedCheckpoint(t)
		index := filepath.Join(dir, safetensorsIndex)
		if err := os.WriteFile(index, []byte(strings.Replace(goodIndex, "24", size, 1)), 0o666); err != nil {
			t.Fatal(err)
		}
		s, err := OpenSafetensors(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if w := s.Warnings(); len(w) != 1 || !strings.Contains(w[0], "total_size") {
			t.Errorf("total_size %s: warnings %q", size, w)
		}
	}
}

var hostileIndexes = []struct{ name, words, index string }{
	{"empty", "ends in the middle", ``},
	{"not UTF-8", "UTF-8", "{\"weight_map\":{\"a\xff\":\"b\"}}"},
	{"an array", "expected", `[]`},
	{"no weight_map", "weight_map", `{"metadata":{}}`},
	{"weight_map empty", "weight_map", `{"weight_map":{}}`},
	{"weight_map twice", "twice", `{"weight_map":{"a":"b"},"weight_map":{"a":"c"}}`},
	{"tensor twice", `"a" is there twice`, `{"weight_map":{"a":"b","a":"c"}}`},
	{"shard not a string", `"a"`, `{"weight_map":{"a":1}}`},
	{"text after the end", "after the end", goodIndex + "x"},
	{"nested 100000 deep", "nested too deep", `{"x":` + strings.Repeat("[", 100000)},
	{"path traversal", "plain file name", `{"weight_map":{"a":"../../../etc/passwd"}}`},
	{"path traversal, Windows", "plain file name", `{"weight_map":{"a":"..\\x.safetensors"}}`},
	{"absolute path", "plain file name", `{"weight_map":{"a":"/etc/passwd"}}`},
	{"subdirectory", "plain file name", `{"weight_map":{"a":"sub/x.safetensors"}}`},
	{"drive", "plain file name", `{"weight_map":{"a":"C:x.safetensors"}}`},
	{"stream", "plain file name", `{"weight_map":{"a":"x.safetensors:s"}}`},
	{"dot", "plain file name", `{"weight_map":{"a":"."}}`},
	{"dots", "plain file name", `{"weight_map":{"a":".."}}`},
	{"no name", "plain file name", `{"weight_map":{"a":""}}`},
	{"NUL in a name", "plain file name", `{"weight_map":{"a":"x\u0000.safetensors"}}`},
	{"name of 5000 bytes", "plain file name", `{"weight_map":{"a":"` + strings.Repeat("x", 5000) + `"}}`},
	{"shard is the index", "safetensors", `{"weight_map":{"a":"model.safetensors.index.json"}}`},
	{"shard is missing", "no such file", strings.Replace(goodIndex, `"model-00002`, `"model-00003`, 1)},
	{"shard is a directory", "not a regular file", `{"weight_map":{"a":"dir"}}`},
	{"shard beside the index is not in it", "not in it", `{"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00001-of-00002.safetensors"}}`},
	{"tensor in no shard", `"d"`, strings.Replace(goodIndex, `"c":`, `"d":"model-00002-of-00002.safetensors","c":`, 1)},
	{"tensor not in the index", `"b"`, strings.Replace(goodIndex, `"b":"model-00001-of-00002.safetensors",`, "", 1)},
	{"tensor in another shard", `"b" should be in model-00002`, strings.Replace(goodIndex, `"b":"model-00001`, `"b":"model-00002`, 1)},
	{"total_size negative", "total_size", strings.Replace(goodIndex, "24", "-1", 1)},
	{"total_size 2^64", "total_size", strings.Replace(goodIndex, "24", "18446744073709551616", 1)},
	{"total_size fraction", "total_size", strings.Replace(goodIndex, "24", "0.5", 1)},
	{"total_size text", "total_size", strings.Replace(goodIndex, "24", `"24"`, 1)},
	{"total_size twice", "total_size", strings.Replace(goodIndex, "24", `24,"total_size":25`, 1)},
	{"metadata null", "expected", `{"metadata":null,"weight_map":{"a":"b"}}`},
}

func TestHostileIndex(t *testing.T) {
	for _, c := range hostileIndexes {
		t.Run(c.name, func(t *testing.T) {
			dir := shardedCheckpoint(t)
			if err := os.Mkdir(filepath.Join(dir, "dir"), 0o777); err != nil {
				t.Fatal(err)
			}
			index := filepath.Join(dir, safetensorsIndex)
			if err := os.WriteFile(index, []byte(c.index), 0o666); err != nil {
				t.Fatal(err)
			}
			var err error
			checkBounded(t, len(c.index), func() { _, err = OpenSafetensors(dir) })
			checkRefused(t, err, index, c.words)
		})
	}
}

func TestTensorInTwoShardsIsRefused(t *testing.T) {
	dir := shardedCheckpoint(t)
	two := filepath.Join(dir, "model-00002-of-00002.safetensors")
	if err := os.WriteFile(two, safetensorsFile("{"+entry("a", "F32", "[1]", 0, 4)+","+entry("c", "F32", "[3]", 4, 16)+"}", 16), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, safetensorsIndex), []byte(goodIndex), 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := OpenSafetensors(dir)
	checkRefused(t, err, two, `"a"`, "do not belong together")
}

func TestTornShardNamesShardTensorAndRemedy(t *testing.T) {
	dir := shardedCheckpoint(t)
	two := filepath.Join(dir, "model-00002-of-00002.safetensors")
	if err := os.WriteFile(filepath.Join(dir, safetensorsIndex), []byte(goodIndex), 0o666); err != nil {
		t.Fatal(err)
	}
	st, err := os.Stat(two)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(two, st.Size()-1); err != nil {
		t.Fatal(err)
	}
	_, err = OpenSafetensors(dir)
	checkRefused(t, err, two, `"c"`, "cut short", "download it again")
}

func TestDirectoryWithoutAModelSaysWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	_, err := OpenSafetensors(dir)
	checkRefused(t, err, dir, "model.safetensors", "download")
	_, err = OpenSafetensors(filepath.Join(dir, "absent"))
	checkRefused(t, err, "absent", "no such file")
	_, err = OpenSafetensors(shardedCheckpoint(t))
	checkRefused(t, err, "", "2 other .safetensors files")
}

func TestDirectoryWithOneOddlyNamedFileIsRead(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a[b]*?")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "adapter_model.safetensors"), safetensorsFile("{}", 0), 0o666); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSafetensors(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
}

func TestSingleFileWinsOverAnIndexWithAWarning(t *testing.T) {
	dir := shardedCheckpoint(t)
	for name, text := range map[string]string{safetensorsIndex: goodIndex, safetensorsSingle: string(safetensorsFile("{}", 0))} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	s, err := OpenSafetensors(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if len(s.Names()) != 0 || len(s.Warnings()) != 1 {
		t.Errorf("%d tensors, warnings %q", len(s.Names()), s.Warnings())
	}
}

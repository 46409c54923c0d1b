package formats

import (
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxIndexBytes bounds model.safetensors.index.json; the largest published ones have a few megabytes.
const maxIndexBytes = 100_000_000

// shardSeries matches model-00001-of-00003.safetensors: series name, number, count.
var shardSeries = regexp.MustCompile(`^(.*)-(\d{5,})-of-(\d{5,})\.safetensors$`)

// index is a scanned model.safetensors.index.json.
type index struct {
	weights   map[string]string // tensor → shard, a plain file name
	totalSize int64             // -1 if not given
}

// scanIndex reads the text of an index.
func scanIndex(text string) (*index, error) {
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("not UTF-8")
	}
	x := &index{totalSize: -1}
	seen := map[string]bool{}
	j := &jsonScanner{s: text}
	err := j.object(func(key string) error {
		if seen[key] {
			return fmt.Errorf("%q is there twice", key)
		}
		seen[key] = true
		switch key {
		case "weight_map":
			return x.scanWeightMap(j)
		case "metadata":
			return x.scanMetadata(j)
		}
		_, err := j.skip()
		return err
	})
	if err != nil {
		return nil, err
	}
	if len(x.weights) == 0 {
		return nil, fmt.Errorf("weight_map is missing or empty")
	}
	return x, j.end()
}

func (x *index) scanWeightMap(j *jsonScanner) error {
	x.weights = map[string]string{}
	return j.object(func(name string) error {
		if _, again := x.weights[name]; again {
			return fmt.Errorf("tensor %q is there twice", name)
		}
		shard, err := j.str()
		if err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		if err := checkShardName(shard); err != nil {
			return fmt.Errorf("tensor %q: %w", name, err)
		}
		x.weights[name] = shard
		return nil
	})
}

// checkShardName allows plain file names only, so that an index cannot make us read outside its directory, on any system.
func checkShardName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\\:\x00") || len(name) > 255 {
		return fmt.Errorf("shard %q is not a plain file name: an index may only name files beside it", name)
	}
	return nil
}

// scanMetadata looks for total_size; some tools write it as a float.
func (x *index) scanMetadata(j *jsonScanner) error {
	return j.object(func(key string) error {
		text, err := j.skip()
		if err != nil || key != "total_size" {
			return err
		}
		if x.totalSize >= 0 {
			return fmt.Errorf("total_size is there twice")
		}
		size, err := strconv.ParseFloat(text, 64)
		if err != nil || size < 0 || size >= math.MaxInt64 || size != math.Trunc(size) {
			return fmt.Errorf("total_size %s is not a size", text)
		}
		x.totalSize = int64(size)
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			x.totalSize = n
		}
		return nil
	})
}

// openIndex opens the shards of an index file. path is what errors about the whole checkpoint name.
func openIndex(indexPath, path string) (*Safetensors, error) {
	x, err := readIndex(indexPath)
	if err != nil {
		return nil, err
	}
	s := newSafetensors(path)
	return s.orClose(s.openShards(indexPath, x))
}

func readIndex(path string) (*index, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.close()
	if f.size > maxIndexBytes {
		return nil, fmt.Errorf("%s: %d bytes is too large for an index (limit %d)", path, f.size, maxIndexBytes)
	}
	text, err := f.text(0, f.size)
	if err != nil {
		return nil, err
	}
	x, err := scanIndex(text)
	if err != nil {
		return nil, fmt.Errorf("%s: safetensors index: %w: download it again", path, err)
	}
	return x, nil
}

// openShards opens every shard and checks that index and shards name the same tensors.
func (s *Safetensors) openShards(indexPath string, x *index) error {
	dir := filepath.Dir(indexPath)
	shards := slices.Compact(slices.Sorted(maps.Values(x.weights)))
	for _, shard := range shards {
		if err := s.open(filepath.Join(dir, shard)); err != nil {
			return fmt.Errorf("%s: shard %s: %w", indexPath, shard, err)
		}
	}
	if err := checkShardSeries(indexPath, shards); err != nil {
		return err
	}
	total := int64(0)
	for _, info := range s.infos {
		shard, ok := x.weights[info.Name]
		if !ok {
			return fmt.Errorf("%s: tensor %q of %s is not in the index: index and shards do not belong together, download both again", indexPath, info.Name, info.File)
		}
		if filepath.Base(info.File) != shard {
			return fmt.Errorf("%s: tensor %q should be in %s but is in %s: download index and shards again", indexPath, info.Name, shard, info.File)
		}
		total += info.Bytes // cannot overflow: the bytes are in files
	}
	if len(s.infos) != len(x.weights) {
		for _, name := range slices.Sorted(maps.Keys(x.weights)) {
			if _, ok := s.byName[name]; !ok {
				return fmt.Errorf("%s: tensor %q should be in %s but is not: download the shard again", indexPath, name, x.weights[name])
			}
		}
	}
	if x.totalSize >= 0 && x.totalSize != total {
		s.warnf("%s: total_size says %d bytes, the shards have %d; the shards are complete and are read", indexPath, x.totalSize, total)
	}
	return nil
}

// checkShardSeries reports a shard, say 2 of 3, that lies beside the listed ones but is not in the index: the index is older than the
// shards, or was edited.
func checkShardSeries(indexPath string, shards []string) error {
	counts := map[[2]string]int{} // series name and count → shards listed
	for _, shard := range shards {
		if m := shardSeries.FindStringSubmatch(shard); m != nil {
			counts[[2]string{m[1], m[3]}]++
		}
	}
	entries, err := os.ReadDir(filepath.Dir(indexPath))
	if err != nil {
		return fmt.Errorf("%s: %w", indexPath, err)
	}
	for _, e := range entries {
		m := shardSeries.FindStringSubmatch(e.Name())
		if m == nil || counts[[2]string{m[1], m[3]}] == 0 {
			continue
		}
		if _, listed := slices.BinarySearch(shards, e.Name()); !listed {
			return fmt.Errorf("%s: shard %s lies beside the index but is not in it: download the index again, or move the shard away", indexPath, e.Name())
		}
	}
	return nil
}

// WriteIndex writes the index of a sharded checkpoint at path, atomically, laid out as transformers does. weights maps each
// tensor to its shard's file name; totalSize is the bytes of all tensors.
func WriteIndex(path string, weights map[string]string, totalSize int64) error {
	b := []byte("{\n  \"metadata\": {\n    \"total_size\": ")
	b = strconv.AppendInt(b, totalSize, 10)
	b = append(b, "\n  },\n  \"weight_map\": {"...)
	for i, name := range slices.Sorted(maps.Keys(weights)) {
		if err := checkShardName(weights[name]); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if !utf8.ValidString(name) {
			return fmt.Errorf("%s: tensor name %q is not UTF-8", path, name)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, "\n    "...)
		b = append(appendJSONString(b, name), ": "...)
		b = appendJSONString(b, weights[name])
	}
	b = append(b, "\n  }\n}\n"...)
	return WriteFileAtomic(path, func(w io.Writer) error {
		_, err := w.Write(b)
		return err
	})
}

package formats

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
)

// ggufSeries matches name-00001-of-00003.gguf: name, number (from 1), count.
var ggufSeries = regexp.MustCompile(`^(.*)-(\d{5})-of-(\d{5})\.gguf$`)

// openAll opens path and, if it is the first shard of several, the others beside it.
func (g *GGUF) openAll(path string) error {
	first, err := g.openShard(path)
	if err != nil {
		return err
	}
	g.kv, g.keys = first.kv, first.keys
	count, err := g.splitInt("split.count", 1)
	if err != nil || count <= 1 {
		return err
	}
	m := ggufSeries.FindStringSubmatch(path)
	if m == nil {
		return fmt.Errorf("%s: one of %d shards, but its name is not NAME-00001-of-%05d.gguf, so the others cannot be found: give the shards their names back", path, count, count)
	}
	no, err := g.splitInt("split.no", 0)
	if err != nil {
		return err
	}
	if no != 0 || m[2] != "00001" {
		return fmt.Errorf("%s: shard %d of %d: open the first, %s", path, no+1, count, shardPath(m[1], 1, count))
	}
	if m[3] != fmt.Sprintf("%05d", count) {
		return fmt.Errorf("%s: split.count is %d but the name says %s: download the shards again", path, count, m[3])
	}
	for i := int64(1); i < count; i++ {
		if err := g.openLaterShard(shardPath(m[1], i+1, count), i, count); err != nil {
			return err
		}
	}
	total, err := g.splitInt("split.tensors.count", int64(len(g.infos)))
	if err != nil {
		return err
	}
	if total != int64(len(g.infos)) {
		return fmt.Errorf("%s: split.tensors.count is %d but the %d shards have %d tensors: download the shards again", path, total, count, len(g.infos))
	}
	return nil
}

func shardPath(name string, number, count int64) string {
	return fmt.Sprintf("%s-%05d-of-%05d.gguf", name, number, count)
}

func (g *GGUF) openShard(path string) (*ggufHeader, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	return g.scan(f)
}

// openLaterShard opens shard no (from 0) of count and checks that it says so itself.
func (g *GGUF) openLaterShard(path string, no, count int64) error {
	h, err := g.openShard(path)
	if err != nil {
		return fmt.Errorf("%s: shard %d of %d: %w", g.path, no+1, count, err)
	}
	shard := &GGUF{table: table{path: path}, kv: h.kv, keys: h.keys}
	gotNo, err := shard.splitInt("split.no", -1)
	if err != nil {
		return err
	}
	gotCount, err := shard.splitInt("split.count", -1)
	if err != nil {
		return err
	}
	if gotNo != no || gotCount != count {
		return fmt.Errorf("%s: says it is shard %d of %d, its name says %d of %d: download the shards again", path, gotNo+1, gotCount, no+1, count)
	}
	return nil
}

// splitInt returns one of the split.* keys, or otherwise if the file does not have it.
func (g *GGUF) splitInt(key string, otherwise int64) (int64, error) {
	n, err := g.Int(key)
	if errors.Is(err, ErrNoKey) {
		return otherwise, nil
	}
	if err == nil && (n < 0 || n > maxGGUFTensors) {
		return 0, fmt.Errorf("%s: metadata %q is %s: %s", g.path, key, strconv.FormatInt(n, 10), ggufDamaged)
	}
	return n, err
}

package vocab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"pith/checkpoint"
)

// Map says which tokens of another vocabulary a trimmed one has: new id → old id, rising.
type Map []int32

// Bytes is the map as vocab_map.bin holds it: uint32 little-endian.
func (m Map) Bytes() []byte {
	b := make([]byte, 0, 4*len(m))
	for _, id := range m {
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
	}
	return b
}

// ParseMap reads what Bytes wrote.
func ParseMap(b []byte) (Map, error) {
	if len(b) == 0 || len(b)%4 != 0 {
		return nil, fmt.Errorf("%d bytes are not a list of 32-bit ids", len(b))
	}
	m := make(Map, len(b)/4)
	for i := range m {
		id := binary.LittleEndian.Uint32(b[4*i:])
		if id >= maxCounts || i > 0 && int32(id) <= m[i-1] {
			return nil, fmt.Errorf("id %d at place %d: ids rise and are below %d", id, i, maxCounts)
		}
		m[i] = int32(id)
	}
	return m, nil
}

// OpenMap reads the map of the model in a directory; nil if it has none.
func OpenMap(dir string) (Map, error) {
	path := filepath.Join(dir, checkpoint.VocabMapName)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := ParseMap(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; trim the model again", path, err)
	}
	return m, nil
}

// New returns old id → new id.
func (m Map) New() map[int32]int32 {
	new := make(map[int32]int32, len(m))
	for i, old := range m {
		new[old] = int32(i)
	}
	return new
}

// Of returns the map of a selection of the map's own ids: newest → oldest.
func (m Map) Of(ids []int32) (Map, error) {
	out := make(Map, len(ids))
	for i, id := range ids {
		if id < 0 || int(id) >= len(m) {
			return nil, fmt.Errorf("token %d is not among the %d of vocab_map.bin", id, len(m))
		}
		out[i] = m[id]
	}
	return out, nil
}

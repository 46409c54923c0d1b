package tokenizer

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// TrimSentencePiece returns the tokenizer.model of the kept ids, which rise and are renumbered from 0; ids beyond its pieces (tokens that other
// files add) are left out. Pieces, scores, types and the normalizer stay as they are; the trainer's vocab_size and special ids follow. Self-test
// samples are left out, since they were made with the whole vocabulary.
func TrimSentencePiece(model []byte, ids []int32) ([]byte, error) {
	k, err := newKept(ids)
	if err != nil {
		return nil, err
	}
	if _, err := readSentencePiece(model); err != nil {
		return nil, fmt.Errorf("tokenizer.model: %w", err)
	}
	var pieces, rest []byte
	old, n := int32(0), 0
	err = protoFields(model, func(num, wire int, v uint64, b []byte) error {
		switch {
		case num == 1 && wire == 2:
			if _, stays := k.new[old]; stays {
				pieces = appendField(pieces, num, wire, v, b)
				n++
			}
			old++
		case num == 2 && wire == 2:
			var failed error
			b, failed = k.trainer(b, min(k.below(model), len(ids)))
			rest = appendField(rest, num, wire, v, b)
			return failed
		case num == 4: // self_test_data
		default:
			rest = appendField(rest, num, wire, v, b)
		}
		return nil
	})
	if err == nil && n == 0 {
		err = errors.New("none of its pieces is kept")
	}
	if err != nil {
		return nil, fmt.Errorf("tokenizer.model: %w", err)
	}
	return append(pieces, rest...), nil
}

// below returns how many kept ids are pieces of the model.
func (k *kept) below(model []byte) int {
	pieces := int32(0)
	protoFields(model, func(num, wire int, v uint64, b []byte) error { // was read before
		if num == 1 {
			pieces++
		}
		return nil
	})
	n := 0
	for _, id := range k.old {
		if id < pieces {
			n++
		}
	}
	return n
}

// trainer edits a TrainerSpec: vocab_size (4), unk_id (40), bos_id (41), eos_id (42), pad_id (43). Ids that are not said have defaults, which may
// be other tokens now: all are written.
func (k *kept) trainer(msg []byte, size int) ([]byte, error) {
	ids := map[int]int32{40: 0, 41: 1, 42: 2, 43: -1}
	var out []byte
	err := protoFields(msg, func(num, wire int, v uint64, b []byte) error {
		switch {
		case num == 4 && wire == 0:
		case num >= 40 && num <= 43 && wire == 0:
			ids[num] = int32(v)
		default:
			out = appendField(out, num, wire, v, b)
		}
		return nil
	})
	out = appendField(out, 4, 0, uint64(size), nil)
	for num := 40; num <= 43; num++ {
		id := int32(-1)
		if old := ids[num]; old >= 0 {
			new, stays := k.new[old]
			if num == 40 && !stays {
				return nil, fmt.Errorf("unk_id is token %d, which is not kept: keep it", old)
			}
			if stays {
				id = new
			}
		}
		out = appendField(out, num, 0, uint64(int64(id)), nil)
	}
	return out, err
}

// appendField writes one field of a protobuf message as protoFields read it.
func appendField(dst []byte, num, wire int, v uint64, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(num)<<3|uint64(wire))
	switch wire {
	case 0:
		return binary.AppendUvarint(dst, v)
	case 1:
		return binary.LittleEndian.AppendUint64(dst, v)
	case 5:
		return binary.LittleEndian.AppendUint32(dst, uint32(v))
	}
	return append(binary.AppendUvarint(dst, uint64(len(b))), b...)
}

package eval

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

// SizeSpeed is what it takes a loaded stack to become one size of another, and how fast it is then.
type SizeSpeed struct {
	Blocks                int     `json:"blocks"`
	Bytes                 int64   `json:"bytes"`      // of the file's prefix
	FromBytes             int64   `json:"from_bytes"` // of the prefix that was in use before
	SwitchSeconds         float64 `json:"switch_seconds"`
	ReadBytes             int64   `json:"read_bytes"`      // by the switch
	AllocatedBytes        int64   `json:"allocated_bytes"` // by the switch, also what it let go again
	DecodeTokensPerSecond float64 `json:"decode_tokens_per_second"`
}

// timeSizes takes a loaded stack from size to size, the first again after the last, and decodes at each. The best of the repeats counts. It leaves
// the size that it found.
func (o *Opened) timeSizes(ctx context.Context, sizes []Budget, ids []int32, decode, repeats int) (list []SizeSpeed, err error) {
	found := Budget{Bytes: o.stack.BytesOf(o.stack.InUse())}
	if _, err := o.SetBudget(sizes[len(sizes)-1]); err != nil {
		return nil, err
	}
	for range repeats {
		for i, size := range sizes {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			got, err := o.timeSize(size, ids, decode)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", o.Path, err)
			}
			if i == len(list) {
				list = append(list, got)
			}
			best := &list[i]
			best.SwitchSeconds = min(best.SwitchSeconds, got.SwitchSeconds)
			best.AllocatedBytes = min(best.AllocatedBytes, got.AllocatedBytes)
			best.DecodeTokensPerSecond = max(best.DecodeTokensPerSecond, got.DecodeTokensPerSecond)
		}
	}
	_, err = o.SetBudget(found)
	return list, err
}

// timeSize is one switch, and decoding after it.
func (o *Opened) timeSize(size Budget, ids []int32, decode int) (s SizeSpeed, err error) {
	s.FromBytes = o.stack.BytesOf(o.stack.InUse())
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r, err := o.SetBudget(size)
	runtime.ReadMemStats(&after)
	if err != nil {
		return s, err
	}
	s.Blocks, s.Bytes, s.SwitchSeconds, s.ReadBytes = r.Blocks, r.Bytes, r.Seconds, r.Read
	s.AllocatedBytes = int64(after.TotalAlloc - before.TotalAlloc)
	t, err := o.timeOnce(ids, 1, decode)
	s.DecodeTokensPerSecond = float64(decode) / max(t.decode, time.Nanosecond).Seconds()
	return s, err
}

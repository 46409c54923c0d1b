package observe

import (
	"fmt"
	"slices"
	"strings"

	"pith/calib"
	"pith/model"
)

// Plan is what a run will read and take, known before it starts.
type Plan struct {
	Context   int   `json:"context"`
	Windows   int   `json:"windows"`
	Tokens    int64 `json:"tokens"`
	Sites     int   `json:"sites"`
	FileBytes int64 `json:"file_bytes"` // of all statistics

	HiddenBytes  int64 `json:"hidden_bytes"`   // hidden states of all tokens
	HiddenOnDisk bool  `json:"hidden_on_disk"` // they go to a temporary file
	LayerBytes   int64 `json:"layer_bytes"`    // weights of the largest layer
	StatsBytes   int64 `json:"stats_bytes"`    // sums of one layer
	BatchBytes   int64 `json:"batch_bytes"`    // activations
	MemoryBytes  int64 `json:"memory_bytes"`   // all of them together, without the program, the text and the tokenizer
}

// Plan returns what Run will take.
func (b *Observer) Plan() Plan { return b.plan(b.hidden.file != nil) }

// fit lowers HiddenBytes until the plan is within MemoryBytes.
func (b *Observer) fit() error {
	limit := b.o.MemoryBytes
	if limit <= 0 || b.plan(false).MemoryBytes <= limit {
		return nil
	}
	if least := b.plan(true).MemoryBytes; least > limit {
		return fmt.Errorf("this needs %d MiB of memory and %d are allowed; allow more, use a shorter context, or gather moments only", (least+1<<20-1)>>20, limit>>20)
	}
	b.o.HiddenBytes = 0
	return nil
}

func (b *Observer) plan(onDisk bool) Plan {
	p := Plan{Context: b.corpus.Context, Windows: b.corpus.Windows, Tokens: b.corpus.Tokens, Sites: len(b.sites)}
	p.HiddenBytes, p.HiddenOnDisk = hiddenBytes(int(p.Tokens), b.config.Hidden), onDisk
	perPart := make([]int64, b.config.Layers+2)
	for _, s := range b.sites {
		n := (&calib.Site{Features: s.Features, Need: b.need(s)}).Bytes()
		p.FileBytes += n
		perPart[b.partOf(s)+1] += n
	}
	p.StatsBytes = slices.Max(perPart)
	var embedding int64
	for _, block := range model.Blocks(b.config, b.ckpt.Names()) {
		n := b.blockBytes(block)
		if strings.HasPrefix(block.Name, "layers.") {
			p.LayerBytes = max(p.LayerBytes, n)
		} else if block.Name == "embedding" {
			embedding = n
		}
	}
	p.BatchBytes = b.batchBytes(onDisk)
	if b.o.Drift {
		sums, batch := b.driftBytes(b.batchRows())
		p.HiddenBytes = 2 * hiddenBytes(int(p.Tokens), b.config.Hidden+b.config.Heads*b.config.HeadDim) // and what attention gives
		p.StatsBytes += sums
		p.BatchBytes += batch
		p.LayerBytes *= 2
	}
	p.MemoryBytes = max(embedding, p.LayerBytes+p.StatsBytes+p.BatchBytes)
	if !onDisk {
		p.MemoryBytes += p.HiddenBytes
	}
	return p
}

// need is what is collected at a site.
func (b *Observer) need(s model.Site) calib.Need {
	switch {
	case s.Name == model.EmbeddingSite:
		return calib.Counts
	case b.o.Moments:
		return calib.Moments
	}
	return calib.Gram
}

// blockBytes is the memory of a block's weights: as they are stored, and in float32 too where they are transposed.
func (b *Observer) blockBytes(block model.Block) (n int64) {
	for _, name := range block.Weights {
		info, err := b.ckpt.Info(name)
		if err != nil {
			continue // whoever loads it says why
		}
		n += info.Bytes
		if model.Transposed(b.config, name) && !info.Transposed {
			n += 4 * int64(info.Rows) * int64(info.Cols)
		}
	}
	return n
}

// batchBytes is the memory of the activations of one batch.
func (b *Observer) batchBytes(onDisk bool) int64 {
	c := &b.config
	rows := b.batchRows()
	up := c.Intermediate
	if c.Gated {
		up *= 2
	}
	features := c.Hidden + (c.Heads+2*c.KVHeads)*c.HeadDim + c.Heads*c.HeadDim + up
	if c.PostNorms {
		features += c.Hidden
	}
	if onDisk {
		features += 2 * c.Hidden
	}
	scores := b.o.Workers * 64 * b.corpus.Context // of blocks of 64 queries
	return 4 * (int64(rows)*int64(features) + int64(scores))
}

// batchRows is how many tokens go through a layer at once.
func (b *Observer) batchRows() int {
	return min(max(b.corpus.Context, batchTokens/b.corpus.Context*b.corpus.Context), int(b.corpus.Tokens))
}

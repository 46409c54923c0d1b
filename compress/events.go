package compress

import (
	"sync"
	"time"
)

// EventKind says what happened.
type EventKind string

// The kinds of events, in the order in which a run sends them.
const (
	Started   EventKind = "started"
	Progress  EventKind = "progress" // within a block, at most ten times a second
	BlockDone EventKind = "block"    // a shard is written and verified
	Skipped   EventKind = "skipped"  // a shard was there already, whole
	Finished  EventKind = "finished"
)

// Event tells how far a run is. Fields that do not apply are zero.
type Event struct {
	Kind         EventKind     `json:"event"`
	Block        string        `json:"block,omitempty"`
	Index        int           `json:"index"`                            // of the block, from 0
	Blocks       int           `json:"blocks"`                           // in all
	Weights      int64         `json:"weights,omitempty"`                // elements of the block; of everything when Finished
	Bytes        int64         `json:"bytes,omitempty"`                  // of its tensors
	RelError     float64       `json:"relative_squared_error,omitempty"` // ‖W−Ŵ‖²/‖W‖² over the block's weights that were not kept
	DoneWeights  int64         `json:"done_weights"`
	TotalWeights int64         `json:"total_weights"`
	Elapsed      time.Duration `json:"elapsed_ns"`
	Remaining    time.Duration `json:"remaining_ns"` // estimate; 0 while unknown
}

// Fraction returns how much of the work is done, from 0 to 1.
func (e Event) Fraction() float64 {
	if e.TotalWeights == 0 {
		return 1
	}
	return min(1, float64(e.DoneWeights)/float64(e.TotalWeights))
}

// reporter counts solved weights and sends events, one at a time.
type reporter struct {
	mu       sync.Mutex
	send     func(Event)
	start    time.Time
	last     time.Time
	total    int64
	solved   int64 // by this run
	skipped  int64 // by earlier runs
	blocks   int
	progress Event // template of Progress: the block being solved
}

func newReporter(send func(Event), total int64, blocks int) *reporter {
	now := time.Now()
	return &reporter{send: send, start: now, last: now, total: total, blocks: blocks}
}

// emit completes e and sends it.
func (r *reporter) emit(e Event) {
	if r.send == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.emitLocked(e)
}

func (r *reporter) emitLocked(e Event) {
	e.Blocks, e.TotalWeights = r.blocks, r.total
	e.DoneWeights = r.solved + r.skipped
	e.Elapsed = time.Since(r.start)
	if r.solved > 0 {
		e.Remaining = time.Duration(float64(e.Elapsed) / float64(r.solved) * float64(r.total-e.DoneWeights))
	}
	r.send(e)
}

// enter says which block the following add calls are about.
func (r *reporter) enter(block string, index int) {
	r.mu.Lock()
	r.progress = Event{Kind: Progress, Block: block, Index: index}
	r.mu.Unlock()
}

// add counts n solved weights, and sends a Progress event if the last is a while ago.
func (r *reporter) add(n int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.solved += n
	if now := time.Now(); r.send != nil && now.Sub(r.last) >= 100*time.Millisecond {
		r.last = now
		r.emitLocked(r.progress)
	}
}

// skip counts n weights of a block that was there.
func (r *reporter) skip(n int64) {
	r.mu.Lock()
	r.skipped += n
	r.mu.Unlock()
}

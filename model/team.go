package model

import (
	"runtime"
	"sync/atomic"
	"time"
)

// team runs parallel sections on goroutines that live as long as one pass through the network. A token of a 1B model has about
// a hundred sections of some 100 µs, so handing work over must not cost a wake-up: idle members spin for a short while before
// they sleep. A section ends when its pieces are done, whoever did them; members that the system runs late are not waited for.
type team struct {
	members int
	f       func(i int)
	state   atomic.Uint64 // the section's number of pieces << 32 | pieces handed out
	done    atomic.Int64
	asleep  atomic.Int64
	wake    chan struct{}
	stopped atomic.Bool
}

// Waiting: some loads of an unchanged word, then yields to other goroutines between loads, and after a while sleep. To wake a
// thread takes the system some 50 µs, more than most of the serial work between sections does.
const (
	spinLoads = 1000
	spinFor   = 500 * time.Microsecond
	napFor    = 20 * time.Microsecond
)

// spin calls done until it says true, and returns whether that was within spinFor.
func spin(done func() bool) bool {
	var start time.Time
	for {
		for range spinLoads {
			if done() {
				return true
			}
		}
		now := time.Now()
		if start.IsZero() {
			start = now
		} else if now.Sub(start) > spinFor {
			return false
		}
		runtime.Gosched()
	}
}

// newTeam starts workers−1 goroutines; stop ends them. The caller is the last member.
func newTeam(workers int) *team {
	t := &team{members: workers - 1, wake: make(chan struct{}, max(1, workers))}
	for range t.members {
		go t.member()
	}
	return t
}

func (t *team) stop() {
	t.stopped.Store(true)
	close(t.wake)
}

// run calls f(i) once for each i in [0, n) and returns when all calls have. Only one goroutine may call it.
func (t *team) run(n int, f func(i int)) {
	if n <= 1 || t.members == 0 {
		for i := range n {
			f(i)
		}
		return
	}
	t.f = f
	t.done.Store(0)
	t.state.Store(uint64(n) << 32)
	for range min(t.asleep.Load(), int64(n-1)) {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
	t.work()
	for !spin(func() bool { return t.done.Load() >= int64(n) }) {
		time.Sleep(napFor) // a member holding a piece is not running: leave it a core
	}
}

// work does pieces until none is left. Whoever gets a piece holds the section open, so f is the section's.
func (t *team) work() {
	for {
		s := t.state.Add(1) - 1
		if s&0xffffffff >= s>>32 {
			return
		}
		t.f(int(s & 0xffffffff))
		t.done.Add(1)
	}
}

func (t *team) open() bool {
	s := t.state.Load()
	return s&0xffffffff < s>>32
}

func (t *team) member() {
	for !t.stopped.Load() {
		t.work()
		t.rest()
	}
}

// rest returns when there may be work, or the team has stopped.
func (t *team) rest() {
	if spin(func() bool { return t.open() || t.stopped.Load() }) {
		return
	}
	t.asleep.Add(1)
	if !t.open() {
		<-t.wake // closed when the team stops
	}
	t.asleep.Add(-1)
}
